import { expect, test } from 'vitest';
import { AcceptedSpecs, entriesNeededBy } from '../../src/data-plane/accepted-specs.ts';
import { destinationEntries, serviceEntries } from '../../src/data-plane/guard-entries.ts';
import type { Command } from '../../src/model/commands.ts';
import { destination, key, service } from './support/specs.ts';

const web = key('192.0.2.10', 80);
const dns = key('192.0.2.10', 53, 'udp');
const one = destination('10.0.0.1', 80);
const two = destination('10.0.0.2', 80);

function noted(...commands: Command[]): AcceptedSpecs {
  const specs = new AcceptedSpecs();
  for (const command of commands) specs.note(command);
  return specs;
}

test('a successor is told everything in the order it was added', () => {
  const commands: Command[] = [
    { name: 'addService', service: service(web) },
    { name: 'addDestination', service: web, destination: one },
    { name: 'addService', service: service(dns) },
    { name: 'addDestination', service: web, destination: two },
  ];
  const specs = noted(...commands, { name: 'info' }, { name: 'getTotals' });
  expect(specs.commands()).toEqual([commands[0], commands[1], commands[3], commands[2]]);
});

test('what was deleted is not told, and frees what was held back for it', () => {
  const specs = noted(
    { name: 'addService', service: service(web) },
    { name: 'addDestination', service: web, destination: one },
    { name: 'addDestination', service: web, destination: two },
  );
  const deleted = specs.note({
    name: 'deleteDestination',
    service: web,
    destination: { address: '10.0.0.2', port: 80 },
  });
  expect(deleted).toEqual(destinationEntries(web, two));
  expect(specs.note({ name: 'deleteService', key: web })).toEqual([
    ...serviceEntries(web),
    ...destinationEntries(web, one),
  ]);
  expect(specs.commands()).toEqual([]);
});

test('flush frees everything', () => {
  const specs = noted({ name: 'addService', service: service(web) }, { name: 'addService', service: service(dns) });
  expect(specs.note({ name: 'flush' })).toEqual([...serviceEntries(web), ...serviceEntries(dns)]);
  expect(specs.commands()).toEqual([]);
});

test('an edit needs the new and frees the old', () => {
  const specs = noted(
    { name: 'addService', service: service(web) },
    { name: 'addDestination', service: web, destination: one },
  );
  const direct = destination('10.0.0.1', 80, 'direct');
  const toDirect: Command = { name: 'editDestination', service: web, destination: direct };
  expect(entriesNeededBy(toDirect)).toEqual([]);
  expect(specs.note(toDirect)).toEqual(destinationEntries(web, one));
  expect(specs.commands()[1]).toEqual({ name: 'addDestination', service: web, destination: direct });
});

test('an edit that does not speak of source NAT leaves it as it was', () => {
  const specs = noted({ name: 'addService', service: { ...service(web), sourceNat: 'masquerade' } });
  specs.note({ name: 'editService', service: { ...service(web), scheduler: 'rr' } });
  expect(specs.commands()).toEqual([
    { name: 'addService', service: { ...service(web), scheduler: 'rr', sourceNat: 'masquerade' } },
  ]);
});

test('timeouts are told as they add up, 0 leaving a value alone', () => {
  const specs = noted(
    { name: 'setTimeouts', timeouts: { tcpSeconds: 10, tcpFinSeconds: 0, udpSeconds: 5 } },
    { name: 'setTimeouts', timeouts: { tcpSeconds: 0, tcpFinSeconds: 3, udpSeconds: 6 } },
  );
  expect(specs.commands()).toEqual([
    { name: 'setTimeouts', timeouts: { tcpSeconds: 10, tcpFinSeconds: 3, udpSeconds: 6 } },
  ]);
});
