/** Reads server-sent events as a browser does, with the moment at which each came. */
export interface SeenEvent {
  name: string;
  data: string;
  atMs: number;
}

export class EventReader {
  readonly events: SeenEvent[] = [];
  /** Resolves when the stream has ended, however. */
  readonly ended: Promise<void>;
  hasEnded = false;
  readonly #stop = new AbortController();

  private constructor(body: ReadableStream<Uint8Array>) {
    this.ended = this.#read(body).finally(() => {
      this.hasEnded = true;
    });
  }

  static async open(url: string): Promise<EventReader> {
    const answer = await fetch(url, { headers: { accept: 'text/event-stream' } });
    const type = answer.headers.get('content-type');
    if (answer.status !== 200 || !answer.body || type !== 'text/event-stream') {
      throw new Error(`${url} answered ${answer.status} ${type}: ${await answer.text()}`);
    }
    return new EventReader(answer.body);
  }

  close(): void {
    this.#stop.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.ended;
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = body.getReader();
    this.#stop.signal.addEventListener('abort', () => void reader.cancel().catch(() => undefined), { once: true });
    const decoder = new TextDecoder();
    let text = '';
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        text += decoder.decode(value, { stream: true });
        const blocks = text.split('\n\n');
        text = blocks.pop() ?? '';
        for (const block of blocks) this.#take(block);
      }
    } catch {
      // Cut off: that is an end too.
    }
  }

  #take(block: string): void {
    const field = (name: string): string | undefined =>
      block
        .split('\n')
        .find((line) => line.startsWith(`${name}: `))
        ?.slice(name.length + 2);
    const name = field('event');
    if (name !== undefined) this.events.push({ name, data: field('data') ?? '', atMs: performance.now() });
  }
}
