/** Names the grid on the containers' labels: two grids on one engine keep their hands off each other's. */
import { createHash } from 'node:crypto';

export function gridIdOf(repoUrl: string): string {
  return createHash('sha256').update(repoUrl).digest('hex').slice(0, 16);
}
