import { describe, expect, it } from 'vitest';
import { GATE_REASONS, Gate } from '../../../src/agent/gate.ts';

describe('Gate', () => {
  it('is open without a reason, and closed as long as there is one', () => {
    const gate = new Gate();
    expect(gate.isOpen).toBe(true);
    gate.close('engine', 'away');
    gate.close('rate', 'used up');
    gate.open('engine');
    expect([gate.isOpen, gate.reasons]).toEqual([false, [{ reason: 'rate', text: 'used up' }]]);
  });

  it('says what may wait for tasks: nothing where there is no room, nothing more where no task will come', () => {
    const gate = new Gate();
    expect(gate.readiness).toBe('fill');
    const readiness = GATE_REASONS.map((reason) => {
      gate.close(reason, 'why');
      const said = gate.readiness;
      gate.open(reason);
      return [reason, said];
    });
    expect(Object.fromEntries(readiness)).toEqual({
      draining: 'empty',
      hours: 'empty',
      'memory-pressure': 'empty',
      'cpu-pressure': 'hold',
      'io-pressure': 'hold',
      load: 'hold',
      memory: 'empty',
      disk: 'empty',
      engine: 'hold',
      limits: 'hold',
      rate: 'hold',
      cpu: 'hold',
      state: 'hold',
      signing: 'hold',
      registration: 'hold',
    });
    gate.close('engine', 'away');
    gate.close('disk', 'full');
    expect(gate.readiness).toBe('empty');
  });
});
