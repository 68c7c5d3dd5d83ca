/**
 * Named sets of settings for kinds of machines. A profile stands between the defaults and everything that was set
 * explicitly. Values are written as in the environment, since `docker/profiles/*.env` is made from them.
 */
export const PROFILE_NAMES = ['high-throughput', 'low-resource', 'edge'] as const;
export type ProfileName = (typeof PROFILE_NAMES)[number];

export interface Profile {
  description: string;
  settings: Readonly<Record<string, string>>;
}

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  'high-throughput': {
    description: 'A machine that has little else to do: polls often, takes many and larger tasks.',
    settings: {
      PULL_INTERVAL: '5',
      PULL_INTERVAL_MAX: '5',
      MAX_TASKS_PER_HOUR: '500',
      DOCKER_CPUS: '2',
      DOCKER_MEMORY: '1g',
      MAX_CPU_PERCENT: '80',
      MAX_MEMORY_PERCENT: '80',
    },
  },
  'low-resource': {
    description: 'A small machine, or one with other work: few and small tasks, and it steps back early.',
    settings: {
      PULL_INTERVAL: '30',
      PULL_INTERVAL_MAX: '120',
      MAX_TASKS_PER_HOUR: '20',
      DOCKER_CPUS: '0.5',
      DOCKER_MEMORY: '256m',
      MAX_CPU_PERCENT: '60',
      MAX_MEMORY_PERCENT: '60',
    },
  },
  edge: {
    description:
      'A machine on a thin or costly line: polls once a minute, less often while nothing happens, and takes few tasks.',
    settings: {
      PULL_INTERVAL: '60',
      PULL_INTERVAL_MAX: '300',
      MAX_TASKS_PER_HOUR: '10',
      DOCKER_CPUS: '1',
      DOCKER_MEMORY: '512m',
      MAX_CPU_PERCENT: '80',
      MAX_MEMORY_PERCENT: '80',
    },
  },
};
