/** A Git server as hosts set theirs up, with an empty task repository. */

import { git } from '../../test/support/git.ts';
import { GitServer } from '../../test/support/git-server.ts';

export interface TaskServer extends AsyncDisposable {
  /** Of the bare repository. */
  path: string;
  url: string;
  port: number;
  /** Instants at which a push arrived, on the monotonic clock, in ms. */
  pushesMs: readonly number[];
}

/** @param options.filters whether clients may leave files out, as on all large hosts; plain git has that off */
export async function startTaskServer(options: { filters?: boolean } = {}): Promise<TaskServer> {
  const server = await GitServer.start();
  const path = await server.createRepository('tasks');
  await git(path, ['config', 'uploadpack.allowFilter', String(options.filters ?? true)]);
  const pushesMs: number[] = [];
  server.onRequest = ({ kind }) => {
    if (kind === 'receive-pack') pushesMs.push(performance.now());
    return undefined;
  };
  return { path, url: server.url('tasks'), port: server.port, pushesMs, [Symbol.asyncDispose]: () => server.stop() };
}
