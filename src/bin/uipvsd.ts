#!/usr/bin/env node
import { start } from './start.ts';

start('uipvsd', () => import('./uipvsd-main.ts'), { closedOutput: 'ignore' });
