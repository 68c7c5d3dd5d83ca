/** Feeds a meter from the engine's stream of samples, one JSON document a line. Figures are a courtesy: errors end it. */
import type { Readable } from 'node:stream';
import type { UsageMeter } from './usage.ts';

const MAX_LINE_CHARACTERS = 1024 * 1024;

export async function followUsage(open: () => Promise<Readable>, meter: UsageMeter): Promise<void> {
  try {
    let rest = '';
    for await (const chunk of await open()) {
      const lines = (rest + (chunk as Buffer).toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE_CHARACTERS) return;
      for (const line of lines) if (line.trim() !== '') meter.add(JSON.parse(line));
    }
  } catch {
    // The run goes on without figures, or with the ones so far.
  }
}
