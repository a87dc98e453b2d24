#!/usr/bin/env node
import { start } from './start.ts';

start('uldirectord', () => import('./uldirectord-main.ts'), { closedOutput: 'ignore' });
