/** The calls of `require('pm2')`: with a callback as there, or else with a promise. */

export type Callback<Result> = (error: Error | null, result: Result) => void;
export type Target = string | number | StartOptions | Declarations;

/** The fields of a declaration; those that gapless knows are in docs/pm2.md. */
export interface StartOptions {
  script?: string;
  name?: string;
  env?: Record<string, unknown>;
  [field: string]: unknown;
}

export interface Declarations {
  apps: StartOptions[];
}

export interface Choice {
  /** Read the environment of this program anew. */
  updateEnv?: boolean;
  /** The variables `env_NAME` of a file. */
  env?: string;
  only?: string;
}

export interface Metric {
  value: string | number;
  type: string;
  unit: string;
  historic: boolean;
}

export interface Pm2Env {
  name: string;
  /** By what gapless knows the app: several may have one name of PM2's. */
  gapless_app: string;
  namespace: string;
  pm_id: number;
  status: 'online' | 'stopping' | 'stopped' | 'launching' | 'errored' | 'waiting restart';
  restart_time: number;
  pm_uptime: number;
  created_at: number;
  exec_mode: 'fork_mode' | 'cluster_mode';
  exec_interpreter: string;
  pm_exec_path: string;
  pm_cwd: string;
  pm_out_log_path: string;
  pm_err_log_path: string;
  pm_pid_path: string;
  node_args: string[];
  args: string[];
  instances: number;
  axm_monitor: Record<string, Metric>;
  axm_actions: { action_name: string; arity: number }[];
  env: Record<string, unknown>;
  [field: string]: unknown;
}

export interface ProcessDescription {
  name: string;
  pid: number;
  pm_id: number;
  monit: { memory: number; cpu: number };
  pm2_env: Pm2Env;
}

export interface Packet {
  id?: number;
  type: string;
  topic: unknown;
  data: unknown;
}

export interface Connected {
  new_pm2_instance: boolean;
  rpc_socket_file: string;
  pub_socket_file: string;
  pm2_home: string;
}

export interface Bus {
  /** `*` in a name stands for anything, and is the first argument of the listener. */
  on(event: string, listener: (...content: any[]) => void): this;
  off(event: string, listener?: (...content: any[]) => void): this;
  close(): void;
}

interface Success {
  success: boolean;
}

type About = {
  (target: Target): Promise<ProcessDescription[]>;
  (target: Target, choice: Choice): Promise<ProcessDescription[]>;
  (target: Target, done: Callback<ProcessDescription[]>): void;
  (target: Target, choice: Choice, done: Callback<ProcessDescription[]>): void;
};
type Simple<Result> = {
  (): Promise<Result>;
  (done: Callback<Result>): void;
};
type With<First, Result> = {
  (first: First): Promise<Result>;
  (first: First, done: Callback<Result>): void;
};
type WithTwo<First, Second, Result> = {
  (first: First, second: Second): Promise<Result>;
  (first: First, second: Second, done: Callback<Result>): void;
};

/** The same calls as an object of its own; `pm2_home` has to be that of this process. */
export const custom: new (options?: { pm2_home?: string }) => typeof import('./types.js');
export const connect: Simple<Connected> & ((noDaemon: boolean, done: Callback<Connected>) => void);
export const disconnect: Simple<Success>;
export const launchBus: Simple<Bus>;
export const list: Simple<ProcessDescription[]>;
export const describe: With<string | number, ProcessDescription[]>;
export const start: About;
export const restart: About;
export const reload: About;
export const gracefulReload: About;
export const stop: About;
declare const remove: About;
export { remove as delete };
export const scale: WithTwo<string, number, Success>;
export const reset: With<string | number, Success>;
export const flush: Simple<ProcessDescription[]> & With<string | number, ProcessDescription[]>;
export const reloadLogs: Simple<Success>;
export const dump: Simple<Success>;
export const killDaemon: Simple<Success>;
export const getPID: Simple<number[]> & With<string | number, number[]>;
export const getVersion: Simple<string>;
export const sendDataToProcessId: With<Packet, Success & { data: Packet }> &
  WithTwo<number, Packet, Success & { data: Packet }>;
export const sendSignalToProcessId: WithTwo<string | number, number, ProcessDescription[]>;
export const sendSignalToProcessName: WithTwo<
  string | number,
  string | number,
  ProcessDescription[]
>;
export function trigger(
  target: string | number,
  action: string,
  parameter?: unknown,
): Promise<ProcessDescription[]>;
export function trigger(
  target: string | number,
  action: string,
  parameter: unknown,
  done: Callback<ProcessDescription[]>,
): void;
