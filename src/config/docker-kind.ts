/** Settings in the vocabulary of a container engine. */
import { bad, good, hasControl, text, type ValueKind } from './value-kind.ts';

const PATH_PART = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const IMAGE = new RegExp(
  `^(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::\\d{1,5})?/)?${PATH_PART}(?:/${PATH_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`,
);

export function imageName(): ValueKind<string> {
  return text({
    expects: 'the name of an image, as busybox:stable or registry.example.com/team/image@sha256:<digest>',
    pattern: IMAGE,
    maxLength: 255,
  });
}

const PATTERN = /^[A-Za-z0-9*][A-Za-z0-9._/:@*-]*$/;
const DIGEST_ALONE = /^sha256:[0-9a-f]{64}$/;

/** A name, a name with `*` in it, or a digest alone. What could never match an image is a mistake, and refused. */
export function imagePattern(): ValueKind<string> {
  const kind = text({
    expects: 'the name of an image, a pattern with * in it, or a digest as sha256:<64 hexadecimal digits>',
    pattern: PATTERN,
    maxLength: 255,
  });
  return {
    ...kind,
    parse(value, machine) {
      const isName = IMAGE.test(value) && !value.startsWith('sha256:');
      const fits = value.includes('*') || isName || DIGEST_ALONE.test(value);
      return fits ? kind.parse(value, machine) : bad(`must be ${kind.expects}`);
    },
  };
}

export function dockerHost(): ValueKind<string> {
  const expects = 'unix:///path/to/socket, tcp://host:port, or ssh://user@host';
  return {
    unit: null,
    expects,
    parse(value) {
      if (hasControl(value) || !URL.canParse(value)) return bad(`must be ${expects}`);
      const url = new URL(value);
      if (url.password !== '') return bad('contains a password: take it out, and let ssh use a key');
      const ok =
        (url.protocol === 'unix:' && url.hostname === '' && url.pathname.length > 1) ||
        (/^(?:tcp|http|https|ssh):$/.test(url.protocol) && url.hostname !== '');
      return ok ? good(value) : bad(`must be ${expects}`);
    },
    format: String,
    plain: (value) => value,
  };
}

const NOT_A_NETWORK = /^(?:host|default|private|slirp4netns|pasta|container|ns|(?:container|ns):.*)$/i;
const NOT_OF_ITS_OWN = 'must not be the network of the host or of another container: use none, or a network of its own';

/** A network name. Those that would share another network stack are refused: a task must not see the host's. */
export function networkName(): ValueKind<string> {
  return withoutForeign(
    text({
      expects: 'none, bridge, or the name of a network that exists',
      pattern: /^[A-Za-z0-9][A-Za-z0-9_.-]*$/,
      maxLength: 128,
    }),
  );
}

/** A network name, or one with `*` in it. */
export function networkPattern(): ValueKind<string> {
  return withoutForeign(
    text({
      expects: 'the name of a network, or a pattern with * in it',
      pattern: /^[A-Za-z0-9*][A-Za-z0-9_.*-]*$/,
      maxLength: 128,
    }),
  );
}

function withoutForeign(kind: ValueKind<string>): ValueKind<string> {
  return {
    ...kind,
    parse: (value, machine) => (NOT_A_NETWORK.test(value) ? bad(NOT_OF_ITS_OWN) : kind.parse(value, machine)),
  };
}
