/** The worker's HTTP server with what a test is not about filled in. */
import { onTestFinished } from 'vitest';
import type { AppOptions } from '../../src/observe/http/app.ts';
import { startHttpServer } from '../../src/observe/http/server.ts';
import { MetricsRecorder } from '../../src/observe/metrics/recorder.ts';
import { systemClock } from '../../src/runtime.ts';
import { type RecordedEvents, recordEvents } from './recorded-events.ts';

export interface PagesServerOptions extends Partial<Omit<AppOptions, 'access'>> {
  port?: number;
  access?: Partial<AppOptions['access']>;
}

export function appOptions(options: PagesServerOptions = {}, events = recordEvents()): AppOptions & { host: string } {
  const clock = options.access?.clock ?? systemClock;
  return {
    host: '127.0.0.1',
    source: { hasJoined: () => true, reasons: () => [], details: async () => ({ node: 'pi' }) },
    metrics: {
      recorder: new MetricsRecorder(clock),
      health: () => null,
      gateReasons: [],
      version: 'test',
      clock,
    },
    hook: null,
    ...options,
    access: { token: null, host: '127.0.0.1', clock, emit: events.emit, ...options.access },
  };
}

export interface ServedPages {
  base: string;
  port: number;
  events: RecordedEvents;
}

export async function servePages(options: PagesServerOptions = {}): Promise<ServedPages> {
  const events = recordEvents();
  const server = await startHttpServer({ port: 0, ...appOptions(options, events) });
  onTestFinished(() => server.close());
  return { base: `http://127.0.0.1:${server.port}`, port: server.port, events };
}
