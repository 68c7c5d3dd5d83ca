/**
 * The phases of a probe's way, and by which clock each is measured. Instants of two machines are never compared: a phase lies
 * between two moments on one machine's monotonic clock, or is a difference of such durations.
 */
export const PHASES = [
  'submit',
  'queued',
  'claim',
  'pull',
  'start',
  'run',
  'collect',
  'publish',
  'record',
  'e2e',
] as const;
export type Phase = (typeof PHASES)[number];

export interface PhaseInfo {
  from: string;
  to: string;
  clock: 'submitter' | 'worker' | 'difference';
}

export const PHASE_INFO: Readonly<Record<Phase, PhaseInfo>> = {
  submit: { from: 'when the rate calls for it', to: 'the host has taken its file', clock: 'submitter' },
  queued: { from: 'the host has taken its file', to: 'its claim is seen', clock: 'submitter' },
  claim: { from: 'a worker decides to claim', to: 'the claim is known to be won', clock: 'worker' },
  pull: { from: 'the image is asked for', to: 'it is there', clock: 'worker' },
  start: { from: 'the container is asked for', to: 'it runs', clock: 'worker' },
  run: { from: 'it runs', to: 'its process ends', clock: 'worker' },
  collect: { from: 'its process ends', to: 'output and verdict are there', clock: 'worker' },
  publish: { from: 'output and verdict are there', to: 'the result is seen', clock: 'difference' },
  record: { from: 'the result is seen', to: 'its record is seen on the branch', clock: 'submitter' },
  e2e: { from: 'when the rate calls for it', to: 'the result is seen', clock: 'submitter' },
};
