#!/usr/bin/env node
import { start } from './start.ts';

start('uipvsadm-save', () => import('./uipvsadm-save-main.ts'), { closedOutput: 'end' });
