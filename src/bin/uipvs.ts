#!/usr/bin/env node
import { start } from './start.ts';

start('uipvs', () => import('./uipvs-main.ts'), { closedOutput: 'end' });
