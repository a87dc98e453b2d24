import { expect, test } from 'vitest';
import { PACKET_ENGINE_CAPABILITIES } from '../../src/data-plane/capabilities.ts';
import { InProcessDataPlane } from '../../src/data-plane/in-process.ts';
import type { DataPlaneEvent } from '../../src/model/events.ts';
import { FakeEngine } from './support/fake-engine.ts';
import { key, service } from './support/specs.ts';

const web = key('192.0.2.10', 80);

function createPlane() {
  const engine = new FakeEngine();
  const plane = new InProcessDataPlane({ engine, capabilities: PACKET_ENGINE_CAPABILITIES, nowMs: () => 1_234 });
  return { engine, plane };
}

test('time is brought up to date before a command is carried out', async () => {
  const { engine, plane } = createPlane();
  await plane.execute({ name: 'info' });
  expect(engine.diary).toEqual(['advance 1234', 'info']);
});

test('those who watch hear of what was carried out and not of what was refused', async () => {
  const { plane } = createPlane();
  const heard: DataPlaneEvent[] = [];
  const stop = plane.watch((event) => heard.push(event));
  await plane.execute({ name: 'addService', service: service(web) });
  await plane.execute({ name: 'getTimeouts' });
  await expect(plane.execute({ name: 'deleteService', key: web })).rejects.toMatchObject({ code: 'ESRCH' });
  stop();
  await plane.execute({ name: 'flush' });
  expect(heard).toEqual([{ type: 'service-added', service: service(web) }]);
});

test('a closed data plane refuses', async () => {
  const { plane } = createPlane();
  await plane.close();
  await expect(plane.execute({ name: 'info' })).rejects.toMatchObject({ code: 'ENOPROTOOPT' });
});
