/**
 * The log: one JSON document a line, or lines for people, to a console stream or a file.
 *
 * Writing never waits: a console that nobody reads (a stopped pager, a stuck log driver) must not hold up heartbeats. What
 * piles up meanwhile is bounded; beyond it entries are dropped and counted. A console that was closed ends the log and
 * nothing else.
 *
 * What stands in an entry was often written by others, up to the words of a Git server: it does nothing to the terminal.
 */
import { once } from 'node:events';
import pino from 'pino';
import pretty from 'pino-pretty';
import { type Clock, isoTime } from '../runtime.ts';
import { errorEntry } from './error-entry.ts';
import { type Emit, EVENTS, type EventFields } from './events.ts';
import { escaped, visible } from './plain-json.ts';
import { Redactor } from './redaction.ts';

const MAX_PENDING_BYTES = 8 * 1024 * 1024;
const FLUSH_DEADLINE_MS = 3000;

export interface LogSettings {
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  /** null: the console. */
  logFile: string | null;
  logFormat: 'json' | 'pretty' | 'auto';
}

export interface LogOptions {
  clock: Clock;
  /** Masked wherever they appear. */
  secrets: Iterable<string>;
  /** Where entries go without a file: 1 standard output, 2 standard error (when the other belongs to a program's answer). */
  console: { fd: 1 | 2; isTerminal: boolean; colour: boolean };
  /** Stand in every entry. */
  fields?: EventFields;
}

export interface Log {
  logger: pino.Logger;
  /** A secret that became known later, as a token that was replaced. */
  addSecret(secret: string): void;
  /** Opens the file again under its name. Without a file it does nothing. Called on SIGHUP too. */
  reopen(): void;
  /** Entries that were thrown away because the destination did not take them in time. */
  droppedEntries(): number;
  /** Resolves when everything logged so far was handed to the operating system, or cannot be within some seconds. */
  flush(): Promise<void>;
  /** Flushes, and takes no more entries. */
  close(): Promise<void>;
}

/** @throws Error of the file system when the file cannot be opened. */
export async function openLog(settings: LogSettings, options: LogOptions): Promise<Log> {
  const { console, clock } = options;
  const toTerminal = settings.logFile === null && console.isTerminal;
  const redactor = new Redactor(options.secrets);
  const destination = pino.destination({
    dest: settings.logFile ?? console.fd,
    append: true,
    mkdir: true,
    sync: false,
    maxLength: MAX_PENDING_BYTES,
  });
  await once(destination, 'ready');

  let pending = false;
  let closed = false;
  let dropped = 0;
  let unreportedDrops = 0;
  destination.on('drop', () => {
    dropped++;
    unreportedDrops++;
  });
  destination.on('drain', () => {
    pending = false;
    if (unreportedDrops === 0) return;
    const count = unreportedDrops;
    unreportedDrops = 0;
    logger.warn({ dropped_entries: count }, 'Log entries dropped, the destination was too slow');
  });
  // A full disk or a closed console must not end the worker. With a full disk, what is pending is tried again with the
  // next entry; a console never comes back.
  destination.on('error', (error: NodeJS.ErrnoException) => {
    pending = false;
    if (error.code === 'EPIPE') closed = true;
  });

  const format =
    settings.logFormat === 'pretty' || (settings.logFormat === 'auto' && toTerminal)
      ? pretty.prettyFactory({
          colorize: toTerminal && console.colour,
          ignore: 'event',
          translateTime: false,
          singleLine: true,
        })
      : null;
  const logger = pino(
    {
      level: settings.logLevel,
      base: options.fields ?? null,
      timestamp: () => `,"time":"${isoTime(clock.wallMs())}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: errorEntry },
    },
    {
      write(line: string) {
        if (closed) return;
        const clean = redactor.jsonLine(line);
        pending = true;
        destination.write(format ? format(visible(clean)) : escaped(clean));
      },
    },
  );

  const reopen = (): void => {
    if (settings.logFile !== null && !closed) destination.reopen();
  };
  if (settings.logFile !== null) process.on('SIGHUP', reopen);
  const flush = async (): Promise<void> => {
    if (!pending) return;
    const deadline = new AbortController();
    const settled = new Promise<void>((resolve) => {
      destination.once('drain', resolve);
      destination.once('error', () => resolve());
    });
    await Promise.race([settled, clock.sleep(FLUSH_DEADLINE_MS, deadline.signal)]);
    deadline.abort();
  };
  return {
    logger,
    addSecret: (secret) => redactor.add(secret),
    reopen,
    droppedEntries: () => dropped,
    flush,
    async close() {
      if (closed) return;
      await flush();
      closed = true;
      process.off('SIGHUP', reopen);
      if (settings.logFile === null) return;
      await new Promise<void>((resolve) => {
        destination.once('close', resolve);
        destination.once('error', () => resolve());
        destination.end();
      });
    },
  };
}

/** Entries carry the event's name, its fields and the text of the table. */
export function createEmit(logger: pino.Logger): Emit {
  return (name, fields = {}) => {
    const { level, message } = EVENTS[name];
    if (!logger.isLevelEnabled(level)) return;
    logger[level]({ event: name, ...entryFields(fields) }, message);
  };
}

/** Names that the entry itself needs get a dash behind them; errors under any name become readable. */
function entryFields(fields: EventFields): Record<string, unknown> {
  const entry: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    const key = RESERVED.has(name) ? `${name}_` : name;
    entry[key] = value instanceof Error && name !== 'err' ? errorEntry(value) : value;
  }
  return entry;
}

const RESERVED: ReadonlySet<string> = new Set(['level', 'time', 'msg', 'event']);
