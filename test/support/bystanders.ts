/** Containers, images and volumes of somebody else, with a picture of them that two moments can be compared by. */
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PrivateEngine } from './engine.ts';

const RUNNING = 4;
const ENDED = 3;
const TAGGED = 7;
const VOLUMES = 5;

/** By what it is: its id and what it holds. */
export type Picture = Readonly<Record<string, string>>;

export class Bystanders {
  readonly #engine: PrivateEngine;
  readonly #containers: string[] = [];
  readonly #images: string[] = [];
  readonly #volumes: string[] = [];

  private constructor(engine: PrivateEngine) {
    this.#engine = engine;
  }

  /** Twenty in all, made from an image that the engine has. */
  static async make(engine: PrivateEngine, image: string): Promise<Bystanders> {
    const made = new Bystanders(engine);
    for (let number = 0; number < TAGGED; number += 1) {
      await made.#call('POST', `/images/${image}/tag?repo=bystander&tag=${number}`);
      made.#images.push(`bystander:${number}`);
    }
    // One that lost its name, which nobody said may go.
    await engine.importBusybox('bystander:nameless', ['LABEL of=others']);
    const nameless = await made.#call<{ Id: string }>('GET', '/images/bystander:nameless/json');
    await engine.importBusybox('bystander:nameless', ['LABEL of=nobody']);
    made.#images.push(nameless.Id);
    for (let number = 0; number < RUNNING + ENDED; number += 1) {
      const script = `echo ${number} > /mine; ${number < RUNNING ? 'sleep 3000' : 'exit 0'}`;
      const body = {
        Image: `bystander:${number}`,
        Cmd: ['sh', '-c', script],
        Labels: { owner: 'somebody else' },
        HostConfig: { NetworkMode: 'none' },
      };
      const { Id } = await made.#call<{ Id: string }>('POST', '/containers/create', body);
      await made.#call('POST', `/containers/${Id}/start`);
      if (number >= RUNNING) await made.#call('POST', `/containers/${Id}/wait`);
      made.#containers.push(Id);
    }
    for (let number = 0; number < VOLUMES; number += 1) {
      const { Mountpoint, Name } = await made.#call<{ Mountpoint: string; Name: string }>('POST', '/volumes/create', {
        Name: `bystander-${number}`,
      });
      await writeFile(join(Mountpoint, 'data'), `${number}`.repeat(10_000));
      made.#volumes.push(Name);
    }
    return made;
  }

  get count(): number {
    return this.#containers.length + this.#images.length + this.#volumes.length;
  }

  async picture(): Promise<Picture> {
    const picture: Record<string, string> = {};
    for (const id of this.#containers) {
      const { Image, State } = await this.#call<{ Image: string; State: { Status: string; StartedAt: string } }>(
        'GET',
        `/containers/${id}/json`,
      );
      const { body, status } = await this.#engine.api('GET', `/containers/${id}/archive?path=/mine`);
      const content = createHash('sha256').update(String(body)).digest('hex');
      picture[`container ${id}`] = `${Image} ${State.Status} ${State.StartedAt} ${status} ${content}`;
    }
    for (const name of this.#images) {
      const { Id, RepoTags } = await this.#call<{ Id: string; RepoTags: string[] }>('GET', `/images/${name}/json`);
      picture[`image ${name}`] = `${Id} ${RepoTags.join(' ')}`;
    }
    for (const name of this.#volumes) {
      const { CreatedAt, Mountpoint } = await this.#call<{ CreatedAt: string; Mountpoint: string }>(
        'GET',
        `/volumes/${name}`,
      );
      const files = await readdir(Mountpoint);
      const contents = await Promise.all(files.map((file) => readFile(join(Mountpoint, file))));
      const content = createHash('sha256').update(Buffer.concat(contents)).digest('hex');
      picture[`volume ${name}`] = `${CreatedAt} ${files.join(' ')} ${content}`;
    }
    return picture;
  }

  async #call<T>(method: string, path: string, body?: object): Promise<T> {
    const answer = await this.#engine.api<T>(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }
}
