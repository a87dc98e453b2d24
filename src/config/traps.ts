/** What a blueprint can say although it surely was not meant, or not with these consequences. */

import { suggestion } from '../control/nearest.ts';
import type { Blueprint, ServiceWish } from '../model/blueprint.ts';
import type { FileProblem } from '../model/file-problem.ts';
import { familyOfService, formatEndpoint, formatServiceKey, isMarkKey } from '../model/service.ts';
import { portInTable } from './addresses.ts';

/** Schedulers that are built in; another name is refused by the daemon, not by the file. */
export const SCHEDULERS: readonly string[] = 'rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh twos'.split(' ');

/** Warnings, in the order of the file. */
export function traps(blueprint: Blueprint): FileProblem[] {
  const warnings = blueprint.services.flatMap((service) => trapsOf(service, blueprint));
  if (blueprint.services.length === 0)
    warnings.push({ place: { line: 0, column: 0 }, text: 'the file has no service' });
  return warnings;
}

function trapsOf(service: ServiceWish, { fallbacks, markRules }: Blueprint): FileProblem[] {
  const found: FileProblem[] = [];
  const warn = (text: string, place = service.place): void => void found.push({ place, text });
  const { key, check, servers, places } = service;
  const name = formatServiceKey(key);

  if (!SCHEDULERS.includes(service.scheduler)) {
    const hint = suggestion(service.scheduler, SCHEDULERS) || `; there are ${SCHEDULERS.join(', ')}`;
    warn(`${name}: the daemon knows no scheduler "${service.scheduler}"${hint}`, places['scheduler']);
  }
  if (servers.length === 0 && service.fallback === null && fallbacks[familyOfService(key)] === null) {
    warn(`${name} has no server, and no fallback either`);
  }
  if (servers.length > 0 && servers.every(({ weight }) => weight === 0)) {
    warn(`${name}: every server has weight 0, so none takes a connection`);
  }
  if (check.kind === 'always-down') warn(`${name}: no server is ever used, only the fallback`, places['check']);
  const negotiates = check.kind === 'negotiate';
  if (negotiates && check.application === 'dns' && check.receive === null) {
    warn(`${name}: a dns check without an expected answer always fails`, places['check']);
  }
  if (isMarkKey(key) && markRules.length > 0 && !markRules.some(({ mark }) => mark === key.mark)) {
    warn(`${name}: no rule of this file gives packets the mark ${key.mark}`);
  }
  for (const { place, address, port, method, upperThreshold, lowerThreshold } of servers) {
    const server = formatEndpoint(address, port);
    if (portInTable(key, method, port) !== port && !isMarkKey(key)) {
      warn(`${server} is used with port ${key.port}, that of the service: ${method} cannot change ports`, place);
    }
    if (lowerThreshold > upperThreshold) {
      const text = `the daemon refuses a lower threshold (${lowerThreshold}) above the upper one (${upperThreshold})`;
      warn(`${server}: ${text}`, place);
    }
  }
  return found;
}
