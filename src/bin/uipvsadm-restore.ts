#!/usr/bin/env node
import { start } from './start.ts';

start('uipvsadm-restore', () => import('./uipvsadm-restore-main.ts'), { closedOutput: 'end' });
