import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCommand } from '../../src/control/command-shapes.ts';
import { findJsonError } from '../../src/control/json-position.ts';
import { nearestWord } from '../../src/control/nearest.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { server, tcpService } from '../support/fake-data-plane.ts';

const web = tcpService('192.0.2.1', 80);

describe('the form of commands', () => {
  const refusal = (value: unknown): string => {
    try {
      parseCommand(value);
    } catch (error) {
      if (error instanceof IpvsError && error.code === 'EINVAL') return error.message;
      throw error;
    }
    throw new Error('was taken');
  };

  test.each([
    [{ name: 'flush' }],
    [{ name: 'addService', service: web }],
    [{ name: 'addService', service: { ...web, key: { mark: 5, family: 'ipv6' }, sourceNat: '192.0.2.7' } }],
    [{ name: 'addDestination', service: web.key, destination: server('10.0.0.1', 80) }],
    [{ name: 'deleteDestination', service: web.key, destination: { address: '10.0.0.1', port: 80 } }],
    [{ name: 'zero' }],
    [{ name: 'zero', key: web.key }],
    [{ name: 'listServices', cursor: '7', limit: 10 }],
  ])('%j is taken as it is', (command) => {
    expect(parseCommand(command)).toBe(command);
  });

  test.each([
    [{ name: 'addService' }, 'addService.service is missing'],
    [{ name: 'addService', service: [] }, 'addService.service must be an object, not a list'],
    [
      { name: 'addService', service: { ...web, key: { ...web.key, port: '80' } } },
      'addService.service.key.port must be a whole number from 0 to 65535, not "80"',
    ],
    [
      { name: 'addService', service: { ...web, key: { ...web.key, port: 65_536 } } },
      'addService.service.key.port must be a whole number from 0 to 65535, not 65536',
    ],
    [
      { name: 'addService', service: { ...web, key: { ...web.key, protocol: 'tpc' } } },
      'addService.service.key.protocol must be tcp, udp or sctp, not "tpc", did you mean "tcp"?',
    ],
    [{ name: 'addService', service: { ...web, key: { mark: 1 } } }, 'addService.service.key.family is missing'],
    [
      { name: 'addService', service: { ...web, schedulerFlags: [1, 4] } },
      'addService.service.schedulerFlags[1] must be a whole number from 1 to 3, not 4',
    ],
    [
      { name: 'addService', service: { ...web, onePacket: 'yes' } },
      'addService.service.onePacket must be true or false, not "yes"',
    ],
    [
      { name: 'addDestination', service: web.key, destination: { ...server('10.0.0.1', 80), wieght: 2 } },
      'addDestination.destination has no field "wieght", did you mean "weight"?',
    ],
    [
      { name: 'getService', key: { ...web.key, address: 'x'.repeat(65) } },
      'getService.key.address may have 64 characters and has 65',
    ],
    [{ name: 'flush', now: true }, 'flush has no field "now"'],
    [JSON.parse('{"name":"flush","__proto__":{}}'), 'flush has no field "__proto__"'],
    [null, 'a command must be an object, not null'],
    [{ name: 'x'.repeat(100) }, 'there is no command a text of 100 characters'],
  ])('%j is refused with a sentence', (value, message) => {
    expect(refusal(value)).toBe(message);
  });

  test('whatever comes is taken or refused, and nothing else happens', () => {
    const names = fc.constantFrom('addService', 'addDestination', 'zero', 'setTimeouts', 'nothing');
    fc.assert(
      fc.property(
        names,
        fc.dictionary(fc.constantFrom('service', 'key', 'destination', 'x'), fc.jsonValue()),
        (name, input) => {
          try {
            parseCommand({ ...input, name });
          } catch (error) {
            expect(error).toBeInstanceOf(IpvsError);
            expect((error as IpvsError).message.length).toBeLessThan(300);
          }
        },
      ),
      { verbose: 1 },
    );
  });
});

describe('the place where JSON breaks', () => {
  test.each([
    ['{"a": }', 1, 7],
    ['{"a" 1}', 1, 6],
    ['{"a":1,}', 1, 8],
    ['[1,2', 1, 5],
    ['[1 2]', 1, 4],
    ['{\n "a": tru\n}', 2, 7],
    ["{'a':1}", 1, 2],
    ['{"a":"x\ny"}', 1, 8],
    ['"\\x"', 1, 2],
    ['1 2', 1, 3],
    [']', 1, 1],
    ['[}', 1, 2],
    ['01', 1, 2],
    ['-', 1, 1],
  ])('%j breaks at line %i, column %i', (text, line, column) => {
    expect(findJsonError(text)).toMatchObject({ line, column });
  });

  test('is found exactly where JSON.parse finds one', () => {
    const almostJson = fc.oneof(
      fc.json(),
      fc.tuple(fc.json(), fc.nat(), fc.constantFrom('', ',', '"', '}', '\\', ' ', '0', 'e')).map(([json, at, put]) => {
        const cut = at % (json.length + 1);
        return json.slice(0, cut) + put + json.slice(cut + 1);
      }),
    );
    fc.assert(
      fc.property(almostJson, (text) => {
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        expect(findJsonError(text) === null).toBe(valid);
      }),
      { numRuns: 3_000, verbose: 1 },
    );
  });

  test('a text of a million brackets needs no stack', () => {
    expect(findJsonError('['.repeat(1_000_000))).toMatchObject({ offset: 1_000_000 });
    expect(findJsonError(`"${'x'.repeat(5_000_000)}`)).toMatchObject({ offset: 5_000_001 });
  });
});

describe('the nearest word', () => {
  const words = ['status', 'services', 'connections', 'io', 'guard', 'lab'];
  test.each([
    ['stauts', 'status'],
    ['stat', 'status'],
    ['conections', 'connections'],
    ['SERVICES', 'services'],
    ['service', 'services'],
    ['gaurd', 'guard'],
    ['zzzzzz', null],
    ['x', null],
    ['', null],
    ['s'.repeat(1_000_000), null],
  ])('of %.12s is %s', (word, nearest) => {
    expect(nearestWord(word, words)).toBe(nearest);
  });
});
