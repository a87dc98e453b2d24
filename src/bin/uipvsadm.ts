#!/usr/bin/env node
import { start } from './start.ts';

start('uipvsadm', () => import('./uipvsadm-main.ts'), { closedOutput: 'end' });
