/** All suites, in the order in which they run. */
import type { Suite } from './frame/suite.ts';
import { clone } from './suites/clone.ts';
import { contention } from './suites/contention.ts';
import { footprint } from './suites/footprint.ts';
import { ledger } from './suites/ledger.ts';
import { poll } from './suites/poll.ts';

export const SUITES: readonly Suite[] = [poll, clone, ledger, contention, footprint];
