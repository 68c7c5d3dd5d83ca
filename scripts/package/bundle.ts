/** The program as one script, with all packages that it uses. */
import { join } from 'node:path';
import { build as bundleWith, type Plugin } from 'esbuild';
import { UNUSED_PARTS } from '../../src/executor/docker/lean-dockerode.ts';

const ENTRY = 'src/cli/single-file-main.ts';
const LEAN_LOADER = /[/\\]executor[/\\]docker[/\\]lean-dockerode\.ts$/;
const LEFT_OUT = 'left-out';

export interface Bundle {
  path: string;
  /** Files of which something is in it, below the root. */
  inputs: string[];
}

/** @throws esbuild's error, or when dockerode does not keep its parts where they are left out. */
export async function bundle(root: string, path: string): Promise<Bundle> {
  const leftOut = new Set<string>();
  const { metafile } = await bundleWith({
    absWorkingDir: root,
    entryPoints: [ENTRY],
    outfile: path,
    bundle: true,
    platform: 'node',
    target: `node${process.versions.node.split('.')[0]}`,
    // Modules that are imported when they are needed are then also evaluated then, and not before.
    format: 'cjs',
    // The script is kept in memory, so it is made smaller where that costs nothing: names stay, or those that are asked for
    // at run time would have to be kept aside. Lines stay short, since Node.js prints the one in which an error arose.
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 160,
    sourcemap: false,
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
    // Nothing asks for it inside of an executable: src/assets.ts and src/cli/own-programs.ts have other ways there.
    define: { 'import.meta.url': '"file:///"' },
    // Of other operating systems and of tastes: tried for, and done without.
    external: ['osx-temperature-sensor', 'macos-temperature-sensor', 'supports-color'],
    plugins: [leanDockerode(leftOut)],
  });
  const expected = Object.values(UNUSED_PARTS).flat();
  const missed = expected.filter((part) => !leftOut.has(part));
  if (missed.length > 0) {
    throw new Error(`dockerode has no ${missed.join(', ')} any more: look at UNUSED_PARTS in lean-dockerode.ts`);
  }
  const [output] = Object.values(metafile.outputs);
  const inputs = Object.entries(output?.inputs ?? {}).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  return { path, inputs: inputs.map(([input]) => input) };
}

/** Does at build time what lean-dockerode.ts does when it loads, which needs files that are not there. */
function leanDockerode(seen: Set<string>): Plugin {
  return {
    name: 'lean-dockerode',
    setup: (build) => {
      build.onLoad({ filter: LEAN_LOADER }, ({ path }) => ({
        contents: "export const loadDockerode = () => require('dockerode');",
        loader: 'ts',
        resolveDir: join(path, '..'),
      }));
      build.onResolve({ filter: /^\.\// }, ({ path, resolveDir }) => {
        const parts = Object.entries(UNUSED_PARTS).find(([name]) =>
          new RegExp(`[/\\\\]node_modules[/\\\\]${name}[/\\\\]lib$`).test(resolveDir),
        );
        if (!parts?.[1].some((part) => part === path)) return null;
        seen.add(path);
        return { path, namespace: LEFT_OUT };
      });
      build.onLoad({ filter: /.*/, namespace: LEFT_OUT }, ({ path }) => ({
        contents: `module.exports = () => { throw new Error(${JSON.stringify(`${path} of dockerode was left out`)}); };`,
      }));
    },
  };
}
