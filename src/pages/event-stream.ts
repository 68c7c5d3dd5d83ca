/**
 * Changes as server-sent events. Each carries nothing but the revision: whoever wants the document asks for it, and gets
 * what is newest then.
 *
 * Bounds: a reader that has not taken the event before when the next one is due is dropped, and no stream lasts for ever.
 * Browsers come back by themselves.
 */
import type { Writable } from 'node:stream';
import type { Clock } from '../runtime.ts';
import type { PagesSource } from './source.ts';

/** Changes that come together are told together. */
const EVENT_PAUSE_MS = 250;
/** So that whatever stands between does not take the silence for the end, and a reader that went away is noticed. */
export const KEEP_ALIVE_MS = 15_000;
const RECONNECT_MS = 2_000;
const MAX_STREAM_MS = 60 * 60_000;

export interface EventStreamParts {
  source: Pick<PagesSource, 'overview' | 'onChange'>;
  clock: Clock;
  /** Aborted when the reader is gone, or the server is to end. */
  gone: AbortSignal;
}

/** Until the reader is gone, too slow, or had its time. The sink is closed then. Never rejects for what the reader does. */
export async function sendChanges(sink: Writable, { source, clock, gone }: EventStreamParts): Promise<void> {
  const endMs = clock.monotonicMs() + MAX_STREAM_MS;
  let wake = new AbortController();
  const leave = source.onChange(() => wake.abort());
  try {
    let told = '';
    let saidMs = clock.monotonicMs();
    sink.write(`retry: ${RECONNECT_MS}\n\n`);
    while (!gone.aborted && clock.monotonicMs() < endMs) {
      // Before the document is asked for: a change that comes meanwhile is told in the next round.
      wake = new AbortController();
      const { revision } = await source.overview();
      const isNews = revision !== told;
      if (isNews || clock.monotonicMs() - saidMs >= KEEP_ALIVE_MS) {
        if (sink.writableNeedDrain) break;
        sink.write(isNews ? `event: changed\ndata: ${JSON.stringify({ revision })}\n\n` : ': still here\n\n');
        told = revision;
        saidMs = clock.monotonicMs();
      }
      const quietMs = Math.max(0, saidMs + KEEP_ALIVE_MS - clock.monotonicMs());
      await clock.sleep(quietMs, AbortSignal.any([gone, wake.signal]));
      await clock.sleep(EVENT_PAUSE_MS, gone);
    }
  } finally {
    leave();
    // What a slow reader has not taken is not waited for.
    if (sink.writableNeedDrain) sink.destroy();
    else sink.end();
  }
}
