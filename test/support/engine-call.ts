/** Plain calls to an Engine's HTTP API, for what the Engine port has no method for: arranging networks, secrets, nodes. */
import http from 'node:http';

export interface EngineAnswer {
  readonly status: number;
  /** Parsed JSON, or `undefined` for an empty body. */
  readonly body: unknown;
}

/** `dockerUrl` is `unix:///…` or `tcp://host:port`; `path` without a version prefix. Any status is an answer. */
export function callEngine(dockerUrl: string, method: string, path: string, body?: unknown): Promise<EngineAnswer> {
  const url = new URL(dockerUrl);
  const where = url.protocol === 'unix:' ? { socketPath: url.pathname } : { host: url.hostname, port: url.port };
  const payload = body === undefined ? '' : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        ...where,
        agent: false,
        method,
        path,
        headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(payload) },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, body: text === '' ? undefined : (JSON.parse(text) as unknown) });
        });
      },
    );
    request.on('error', reject);
    request.end(payload);
  });
}
