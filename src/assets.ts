/**
 * Files of the product that are not code, by their path below the package's directory. The only place that knows where
 * they are: beside the code in a checkout and in a package, inside the program in a single-file executable.
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { getRawAsset, isSea } from 'node:sea';

/** @throws the file system's error when the package is not whole; Node's own when the executable lacks the file. */
export async function readAsset(path: string): Promise<Buffer> {
  return isSea() ? embedded(path) : readFile(beside(path));
}

/** For what is needed before anything can be waited for. @throws like `readAsset`. */
export function readAssetNow(path: string): Buffer {
  return isSea() ? embedded(path) : readFileSync(beside(path));
}

/** Evaluated outside of an executable only: there the code has no place that anything could stand beside. */
function beside(path: string): URL {
  return new URL(`../${path}`, import.meta.url);
}

/** A view of the executable's own memory: it is read, and never written to. */
function embedded(path: string): Buffer {
  return Buffer.from(getRawAsset(path));
}
