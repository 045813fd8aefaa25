/** Open `GET /events` answers. Each event is written in two pieces, because a real engine gives no promise about chunk borders. */
import type { ServerResponse } from 'node:http';
import { parseFilters } from './filters.ts';
import type { Store } from './store.ts';

export interface EventStreams {
  serve(response: ServerResponse, filters: string | null, apiVersion: string): void;
  open(): number;
  cut(): void;
}

export function createEventStreams(store: Store): EventStreams {
  const responses = new Set<ServerResponse>();
  return {
    serve(response, filters, apiVersion) {
      const wanted = parseFilters(filters);
      const listener = (event: { readonly Type: string; readonly scope: string }) => {
        if (allows(wanted['type'], event.Type) && allows(wanted['scope'], event.scope)) {
          writeInPieces(response, event);
        }
      };
      response.writeHead(200, { 'Api-Version': apiVersion, 'Content-Type': 'application/json' });
      response.flushHeaders();
      responses.add(response);
      store.listeners.add(listener);
      response.once('close', () => {
        responses.delete(response);
        store.listeners.delete(listener);
      });
    },
    open: () => responses.size,
    cut() {
      for (const response of responses) {
        response.destroy();
      }
    },
  };
}

function allows(wanted: readonly string[] | undefined, actual: string): boolean {
  return wanted === undefined || wanted.length === 0 || wanted.includes(actual);
}

function writeInPieces(response: ServerResponse, event: unknown): void {
  const bytes = Buffer.from(`${JSON.stringify(event)}\n`);
  const middle = Math.floor(bytes.length / 2);
  response.write(bytes.subarray(0, middle));
  response.write(bytes.subarray(middle));
}
