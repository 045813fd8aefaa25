/**
 * What the agent does about signals and about NGINX's life, as a pure function of the state and what happened.
 * Comes in: events. Goes out: the next state and the signal that NGINX gets, if any.
 */
import type { NginxExit, NginxSignal } from './nginx/process.ts';

/*
 *                     stop                           exited
 *   starting ------------------------> draining(fast) -----> stopped
 *      | ready                            ^                    ^
 *      v            stop                  | stop or SIGINT     |
 *   serving -----------------> draining(graceful) -------------+
 *      | SIGINT ----------------> draining(fast)               |
 *      +------------------------- exited ----------------------+
 *
 * "stop" is SIGTERM, SIGQUIT or the caller's abort. SIGHUP and SIGUSR1 change no state: they are passed on while
 * serving, kept until "ready" while starting (NGINX has no handler for them before that and would die of them),
 * and dropped while draining, when there is nothing left to reload for. The agent's own reload is an event of its own.
 * A stop in the middle of a reload is told to NGINX at once: the master takes it up when it has read the file.
 */
export type AgentState =
  | { readonly kind: 'starting'; readonly kept: readonly PassedOnSignal[] }
  | { readonly kind: 'serving' }
  | { readonly kind: 'draining'; readonly pace: 'graceful' | 'fast' }
  | StoppedState;

export interface StoppedState {
  readonly kind: 'stopped';
  readonly exit: NginxExit;
  /** NGINX ended after it was told to. */
  readonly asked: boolean;
}

export type AgentEvent =
  /** NGINX has read its file, opened its listeners and handles signals. */
  | { readonly kind: 'ready' }
  /** A signal to the agent. */
  | { readonly kind: 'signal'; readonly name: AgentSignal }
  /** A new file is in place. Only while serving: before, it is the file NGINX starts with; after, there is nothing left to serve. */
  | { readonly kind: 'reload' }
  /** The caller's AbortSignal: a first stop, never a second one, because whoever aborts may have passed on a signal that came here too. */
  | { readonly kind: 'abort' };

/** Those that mean the same to NGINX. */
export type PassedOnSignal = 'SIGHUP' | 'SIGUSR1';
export type AgentSignal = 'SIGTERM' | 'SIGQUIT' | 'SIGINT' | PassedOnSignal;
export const AGENT_SIGNALS: readonly AgentSignal[] = ['SIGTERM', 'SIGQUIT', 'SIGINT', 'SIGHUP', 'SIGUSR1'];

export interface Step {
  readonly state: AgentState;
  readonly send: readonly NginxSignal[];
}

export const INITIAL_STATE: AgentState = { kind: 'starting', kept: [] };

const GRACEFUL: Step = { state: { kind: 'draining', pace: 'graceful' }, send: ['SIGQUIT'] };
const FAST: Step = { state: { kind: 'draining', pace: 'fast' }, send: ['SIGTERM'] };

/** The next state and what NGINX is told, in order. Returns the same state object when nothing changes. */
export function nextStep(state: AgentState, event: AgentEvent): Step {
  switch (state.kind) {
    case 'starting':
      return whileStarting(state, event);
    case 'serving':
      return whileServing(state, event);
    case 'draining':
      return whileDraining(state, event);
    case 'stopped':
      return stay(state);
  }
}

function whileStarting(state: AgentState & { kind: 'starting' }, event: AgentEvent): Step {
  if (event.kind === 'ready') {
    return { state: { kind: 'serving' }, send: state.kept };
  }
  if (event.kind === 'signal' && isPassedOn(event.name)) {
    return state.kept.includes(event.name)
      ? stay(state)
      : stay({ kind: 'starting', kept: [...state.kept, event.name] });
  }
  if (event.kind === 'reload') {
    return stay(state);
  }
  // Nothing is in flight yet, so a fast end loses nothing; and SIGQUIT without a handler would dump core.
  return FAST;
}

function whileServing(state: AgentState & { kind: 'serving' }, event: AgentEvent): Step {
  if (event.kind === 'signal' && isPassedOn(event.name)) {
    return { state, send: [event.name] };
  }
  if (event.kind === 'reload') {
    return { state, send: ['SIGHUP'] };
  }
  if (event.kind === 'ready') {
    return stay(state);
  }
  return event.kind === 'signal' && event.name === 'SIGINT' ? FAST : GRACEFUL;
}

function whileDraining(state: AgentState & { kind: 'draining' }, event: AgentEvent): Step {
  const again = event.kind === 'signal' && !isPassedOn(event.name);
  return again ? FAST : stay(state);
}

/** The last state. An end while draining is the end that was asked for. */
export function stoppedFrom(state: AgentState, exit: NginxExit): StoppedState {
  return { kind: 'stopped', exit, asked: state.kind === 'draining' };
}

/** The agent's exit code: 0 for an end that was asked for and went well, else NGINX's own code, or 1 when a signal took it. */
export function exitCodeOf({ exit, asked }: StoppedState): number {
  if (exit.kind === 'code') {
    return exit.code === 0 && !asked ? 1 : exit.code;
  }
  // Told to stop before it handled signals: it dies of the signal we sent, which is as asked.
  return asked && exit.signal === 'SIGTERM' ? 0 : 1;
}

function isPassedOn(name: AgentSignal): name is PassedOnSignal {
  return name === 'SIGHUP' || name === 'SIGUSR1';
}

function stay(state: AgentState): Step {
  return { state, send: [] };
}
