/**
 * A node of the bed whose clock is off. Nodes share the kernel's clock, and a time namespace leaves the time of day alone; dockerd is a
 * Go program, which asks no C library that could be preloaded. But every process asks the kernel's vDSO, a piece of code that is mapped
 * into it: there its three functions for the time of day are written anew, as the system call plus so many seconds.
 * In: a bed's node and seconds. x86-64 and uid 0 only. What is written is each process's own copy, and ends with it.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import type { Swarm } from '../support/bed.ts';

export const clocksCanBeOff = process.platform === 'linux' && process.arch === 'x64' && process.getuid?.() === 0;

export interface ShiftedClock {
  /** How many processes of the node go by the shifted clock by now. */
  shifted(): number;
  /** Processes that start from now on have the right time again; those that run keep theirs. */
  stop(): Promise<void>;
}

const SWEEP_MS = 100;
const STOP_CHECKS = 100;

/** Shifts the clock of every process of the node, and of those it starts later, soon after they started. */
export function shiftClock(swarm: Swarm, index: number, seconds: number): ShiftedClock {
  const writes = writesFor(routines(seconds));
  const done = new Set<number>();
  const state = { ended: false };

  function sweep(): void {
    for (const pid of processesOf(swarm.name, index)) {
      if (!done.has(pid) && patch(pid, writes)) {
        done.add(pid);
      }
    }
  }

  const running = (async () => {
    while (!state.ended) {
      sweep();
      await new Promise((resolve) => setTimeout(resolve, SWEEP_MS));
    }
  })();
  return {
    shifted: () => done.size,
    async stop() {
      state.ended = true;
      await running;
    },
  };
}

/** Machine code per function of the vDSO; the system calls keep rdi and rsi. */
function routines(seconds: number): ReadonlyMap<string, Buffer> {
  const offset = Buffer.alloc(4);
  offset.writeInt32LE(seconds);
  const add = offset.toString('hex');
  return new Map([
    // mov eax,228; syscall; test edi,edi; jnz over; add qword [rsi],seconds; over: ret (0 is CLOCK_REALTIME)
    ['__vdso_clock_gettime', Buffer.from(`b8e40000000f0585ff7507488106${add}c3`, 'hex')],
    // mov eax,96; syscall; test rdi,rdi; jz over; add qword [rdi],seconds; over: ret
    ['__vdso_gettimeofday', Buffer.from(`b8600000000f054885ff7407488107${add}c3`, 'hex')],
    // mov eax,201; syscall; add rax,seconds; test rdi,rdi; jz over; mov [rdi],rax; over: ret
    ['__vdso_time', Buffer.from(`b8c90000000f054805${add}4885ff7403488907c3`, 'hex')],
  ]);
}

/** False when it has to be tried again, or the process is gone. */
function patch(pid: number, writes: readonly Write[]): boolean {
  try {
    const range = vdsoOf(pid);
    if (range === undefined) {
      return false;
    }
    process.kill(pid, 'SIGSTOP'); // nobody may be inside what is written anew
    try {
      return stoppedOutside(pid, range) && write(pid, range, writes);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  } catch {
    return false; // it ended meanwhile
  }
}

interface Write {
  readonly offset: number;
  readonly bytes: Buffer;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

function vdsoOf(pid: number): Range | undefined {
  const found = /^([0-9a-f]+)-([0-9a-f]+) .*\[vdso\]$/m.exec(readFileSync(`/proc/${pid}/maps`, 'utf8'));
  return found === null
    ? undefined
    : { from: Number.parseInt(found[1] ?? '', 16), to: Number.parseInt(found[2] ?? '', 16) };
}

/** Whether every thread has stopped, and where no code is about to change. */
function stoppedOutside(pid: number, range: Range): boolean {
  return Array.from({ length: STOP_CHECKS }, () => 0).some(() => threadsOutside(pid, range));
}

/** Each thread's line ends with its program counter; the line of one that has not come to its stop yet is `running`. */
function threadsOutside(pid: number, { from, to }: Range): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    const counter = Number(readFileSync(`/proc/${pid}/task/${thread}/syscall`, 'utf8').trim().split(' ').at(-1));
    return Number.isFinite(counter) && (counter < from || counter >= to);
  });
}

function write(pid: number, { from }: Range, writes: readonly Write[]): boolean {
  const memory = openSync(`/proc/${pid}/mem`, 'r+');
  try {
    for (const { offset, bytes } of writes) {
      writeSync(memory, bytes, 0, bytes.length, from + offset);
    }
    return true;
  } finally {
    closeSync(memory);
  }
}

/** Where the new code goes: one kernel has one vDSO, so our own tells. */
function writesFor(code: ReadonlyMap<string, Buffer>): readonly Write[] {
  const places = functionsOf(ownVdso());
  return [...code].map(([name, bytes]) => {
    const place = places.get(name);
    if (place === undefined || place.size < bytes.length) {
      throw new RangeError(`this kernel's vDSO has no room for ${name}`);
    }
    return { offset: place.offset, bytes };
  });
}

function ownVdso(): Buffer {
  const { from, to } = vdsoOf(process.pid) ?? { from: 0, to: 0 };
  const image = Buffer.alloc(to - from);
  const memory = openSync('/proc/self/mem', 'r');
  try {
    readSync(memory, image, 0, image.length, from);
    return image;
  } finally {
    closeSync(memory);
  }
}

/** The dynamic symbols of a 64-bit ELF image, as the kernel lays it out: addresses are offsets. */
function functionsOf(image: Buffer): ReadonlyMap<string, { readonly offset: number; readonly size: number }> {
  const headers = Number(image.readBigUInt64LE(0x28));
  const [size, count] = [image.readUInt16LE(0x3a), image.readUInt16LE(0x3c)];
  const sections = Array.from({ length: count }, (_, n) => {
    const at = headers + n * size;
    return {
      type: image.readUInt32LE(at + 4),
      offset: Number(image.readBigUInt64LE(at + 24)),
      size: Number(image.readBigUInt64LE(at + 32)),
      link: image.readUInt32LE(at + 40),
    };
  });
  const symbols = sections.find(({ type }) => type === DYNSYM);
  const names = sections[symbols?.link ?? -1];
  if (symbols === undefined || names === undefined) {
    throw new RangeError('the vDSO names no functions');
  }
  return new Map(
    Array.from({ length: symbols.size / 24 }, (_, n) => {
      const at = symbols.offset + n * 24;
      const name = names.offset + image.readUInt32LE(at);
      const value = { offset: Number(image.readBigUInt64LE(at + 8)), size: Number(image.readBigUInt64LE(at + 16)) };
      return [image.toString('latin1', name, image.indexOf(0, name)), value] as const;
    }),
  );
}

const DYNSYM = 11;
const RUN = '/run/interlock-bed';

/** Every process of the node, its containers' too: the descendants of the one that docker/bed recorded. */
function processesOf(name: string, index: number): readonly number[] {
  const folder = readdirSync(RUN).find((entry) => readOr(path.join(RUN, entry, 'name')).trim() === name);
  const first = Number.parseInt(readOr(path.join(RUN, folder ?? '', `n${index}.pid`)), 10);
  const parents = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((entry) => ({ pid: Number(entry), parent: parentOf(entry) }));
  const childrenOf = (pid: number): readonly number[] =>
    parents.filter(({ parent }) => parent === pid).flatMap((child) => [child.pid, ...childrenOf(child.pid)]);
  return childrenOf(first);
}

function parentOf(pid: string): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readOr(`/proc/${pid}/status`))?.[1] ?? 0);
}

function readOr(file: string, otherwise = ''): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return otherwise; // it ended meanwhile
  }
}
