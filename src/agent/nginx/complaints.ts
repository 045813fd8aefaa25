/** What NGINX says about a file it refuses: an extra `error_log` of level emerg, which the agent reads and keeps short. */
import { open, truncate, writeFile } from 'node:fs/promises';

export interface Complaints {
  /** For the main context of NGINX's command line. */
  readonly directive: string;
  /** Forgets what was said. NGINX appends, so it goes on at the start of the emptied file. */
  clear(): Promise<void>;
  /** What was said since, without times and pids, so that the same complaint of two proxies reads the same; at most 16 KiB. */
  read(): Promise<string>;
}

const MAX_BYTES = 16 * 1024;

/** Makes the file, so that NGINX's user is the one who owns it. */
export async function openComplaints(path: string): Promise<Complaints> {
  await writeFile(path, '');
  return {
    directive: `error_log ${path} emerg;`,
    clear: () => truncate(path, 0),
    async read() {
      const file = await open(path, 'r');
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
        return withoutTimes(buffer.toString('utf8', 0, bytesRead));
      } finally {
        await file.close();
      }
    },
  };
}

/** `2026/11/20 10:00:00 [emerg] 17#17: unknown directive` -> `[emerg] unknown directive`. */
export function withoutTimes(text: string): string {
  return text
    .split('\n')
    .map((line) =>
      line.replace(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d (\[\w+\]) \d+#\d+: /, '$1 ').replace(/^nginx: (?=\[)/, ''),
    )
    .filter((line) => line.trim() !== '')
    .join('\n');
}

/**
 * Whether the words are NGINX's last ones on a reload: a port that is still taken is tried again, five times in 2.5 s, and every time
 * it says so (`ngx_open_listening_sockets`).
 */
export function isFinal(words: string): boolean {
  const last = words.slice(words.lastIndexOf('\n') + 1);
  return last !== '' && !/bind\(\) to .* failed \(\d+: Address already in use\)$/.test(last);
}
