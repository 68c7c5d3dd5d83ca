/** What benchmarks measure with. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { ByteRelay } from '../../bench/frame/relay.ts';
import { cpuMs, residentMib } from '../../bench/frame/usage.ts';
import { until } from '../support/until.ts';

it('counts every byte in both directions, and hands all of them on', async () => {
  const server = createServer((socket) => {
    socket.on('data', (chunk: Buffer) => socket.write(Buffer.concat([chunk, chunk])));
    socket.on('end', () => socket.end());
  });
  onTestFinished(() => void server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await using relay = await ByteRelay.start(port);
  const socket = connect(Number(new URL(relay.url(`http://127.0.0.1:${port}/x.git`)).port), '127.0.0.1');
  let back = 0;
  socket.on('data', (chunk) => {
    back += chunk.length;
  });
  socket.write(Buffer.alloc(100_000));
  await until('the answer', () => back === 200_000);
  expect(relay.take()).toEqual({ up: 100_000, down: 200_000 });
  expect(relay.take()).toEqual({ up: 0, down: 0 });
  socket.end();
  await once(socket, 'close');
});

it('sees the processor time and the memory of a process with its children', async () => {
  // A shell that waits for a child which is busy for a while and keeps something in memory.
  const busy =
    'const b = Buffer.alloc(64 << 20, 1); const end = performance.now() + 400; while (performance.now() < end); console.log(b.length); setInterval(() => {}, 1e6)';
  const shell = spawn('sh', ['-c', '"$0" -e "$1"; true', process.execPath, busy], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  onTestFinished(() => void process.kill(-(shell.pid ?? 0), 'SIGKILL'));
  await once(shell.stdout, 'data');
  expect(cpuMs(shell.pid ?? 0)).toBeGreaterThanOrEqual(200);
  expect(residentMib(shell.pid ?? 0)).toBeGreaterThan(64);
});

it('knows nothing of a process that is gone', async () => {
  const child = spawn('true');
  await once(child, 'exit');
  expect(cpuMs(child.pid ?? 0)).toBeNull();
  expect(residentMib(child.pid ?? 0)).toBeNull();
});
