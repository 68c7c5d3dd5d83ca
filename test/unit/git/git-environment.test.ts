import { describe, expect, it } from 'vitest';
import { baseEnvironment, joinEnvironments, processVariables } from '../../../src/git/git-environment.ts';

describe('baseEnvironment', () => {
  it('lets through what the operator needs, and nothing that changes how git works', () => {
    const { variables } = baseEnvironment({
      PATH: '/bin',
      HTTPS_PROXY: 'http://proxy:3128',
      SSL_CERT_FILE: '/ca.pem',
      GIT_SSL_CAINFO: '/ca.pem',
      SSH_AUTH_SOCK: '/agent',
      GIT_DIR: '/elsewhere',
      GIT_CONFIG_GLOBAL: '/evil',
      GIT_CONFIG_PARAMETERS: "'core.sshCommand'='id'",
      GIT_TRACE_CURL: '1',
      GIT_ASKPASS: '/evil',
      GIT_TOKEN: 'secret',
      LC_ALL: 'de_DE.UTF-8',
      OTHER: 'x',
    });
    expect(variables).toMatchObject({
      PATH: '/bin',
      HTTPS_PROXY: 'http://proxy:3128',
      GIT_SSL_CAINFO: '/ca.pem',
      LC_ALL: 'C',
    });
    expect(variables['GIT_CONFIG_GLOBAL']).toBe('/dev/null');
    for (const name of ['GIT_DIR', 'GIT_CONFIG_PARAMETERS', 'GIT_TRACE_CURL', 'GIT_ASKPASS', 'GIT_TOKEN', 'OTHER']) {
      expect(variables).not.toHaveProperty(name);
    }
  });

  it('knows the password of a proxy for a secret', () => {
    expect(baseEnvironment({ https_proxy: 'http://u:pr0xy@p:1' }).secrets).toEqual(['pr0xy']);
  });
});

describe('processVariables', () => {
  it('numbers the settings in order', () => {
    const joined = joinEnvironments(
      { variables: { A: '1', B: '1' }, config: [['x.y', '1']], secrets: ['s'] },
      { variables: { B: '2' }, config: [['x.y', '2 3']], secrets: [] },
    );
    expect(processVariables(joined)).toEqual({
      A: '1',
      B: '2',
      GIT_CONFIG_COUNT: '2',
      GIT_CONFIG_KEY_0: 'x.y',
      GIT_CONFIG_VALUE_0: '1',
      GIT_CONFIG_KEY_1: 'x.y',
      GIT_CONFIG_VALUE_1: '2 3',
    });
    expect(joined.secrets).toEqual(['s']);
  });
});
