import type { IncomingMessage, ServerResponse } from 'node:http';
import type { EventEmitter } from 'node:events';

export type Mode = 'serving' | 'leaving' | 'handoff' | 'recycle';

export interface Options {
  /** Status of a refusal; 503. */
  status?: number;
  /** Seconds; 1. */
  retryAfterS?: number;
  /** Answers `healthStatus` as soon as the process is leaving. */
  healthPath?: string | null;
  healthStatus?: number;
  /** On a signal: how long the health path says no before requests are refused. */
  leadS?: number;
  /** How long a signal waits for what is under way at most; 30. */
  drainTimeoutS?: number;
  onSignal?: 'recycle' | 'handoff' | null;
  /** How much of the body of a refused request is read at most; 16 MiB. */
  discardBytes?: number;
  /** For how long it is read at most; 10. */
  discardS?: number;
  environment?: NodeJS.ProcessEnv;
}

export interface Named {
  kind: 'request' | 'procedure';
  name: string;
  for_s: number;
}

export interface Counts {
  mode: Mode;
  requests: number;
  refusing: number;
  procedures: number;
  refused: number;
  finished: { requests: number; procedures: number; named: Named[] };
  running: Named[];
  longest: Named | null;
}

export interface DatabaseOptions {
  /** Functions that count: `pay` in any schema, `books.pay` only as written. */
  functions?: string[];
  /** Count every statement that runs outside a request or procedure; false. */
  everyStatement?: boolean;
}

export declare class Draining extends Error {}

export declare class Drain {
  constructor(options?: Options);
  attach<Server extends EventEmitter>(server: Server): Server;
  listener<Request extends IncomingMessage, Response extends ServerResponse>(
    serve: (request: Request, response: Response) => unknown,
  ): (request: Request, response: Response) => unknown;
  procedure<Result>(name: string, work: () => Result): Result;
  begin(name: string): { finish(): void };
  /** A pool or connection of pg or mysql2, a Knex or a Sequelize. */
  database<Handed extends object>(handed: Handed, options?: DatabaseOptions): Handed;
  readonly mode: Mode;
  readonly signal: AbortSignal;
  counts(): Counts;
  begun(): Promise<void>;
  ready(): void;
  close(): void;
}
