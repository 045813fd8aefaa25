/** The pino root. Messages are constant, facts are fields; errors go under `err` with their cause chain. */
import { type DestinationStream, type Logger as PinoLogger, pino, stdSerializers } from 'pino';

export type Logger = PinoLogger;

export interface LoggingOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** The daemon: `core`, `extension`, `agent`. */
  readonly component: string;
}

/** JSON lines on stdout, or on `destination`. */
export function createLogger(options: LoggingOptions, destination?: DestinationStream): Logger {
  return pino(
    {
      level: options.level,
      base: { component: options.component },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.errWithCause },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  );
}
