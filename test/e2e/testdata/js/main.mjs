// What an application with the official SDK does. It prints what it saw as JSON;
// javascript_test.go judges.
import { readFileSync } from 'node:fs';
import { CloudWatchLogsClient, FilterLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs';
import {
  CreateFunctionCommand, DeleteFunctionCommand, GetFunctionConfigurationCommand, InvokeCommand, LambdaClient, waitUntilFunctionActiveV2,
} from '@aws-sdk/client-lambda';
import { setTimeout as sleep } from 'node:timers/promises';

const endpoint = process.env.ENDPOINT;
const FunctionName = process.env.FUNCTION;
const lambda = new LambdaClient({ endpoint, maxAttempts: 1 });
const logs = new CloudWatchLogsClient({ endpoint });

function crc32(data) {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// zip makes an archive of one file that is stored as it is.
function zip(name, text) {
  const data = Buffer.from(text);
  const n = Buffer.from(name);
  const fields = Buffer.alloc(26);
  fields.writeUInt16LE(20, 0);
  fields.writeUInt16LE(0x21, 8); // 1 January 1980
  fields.writeUInt32LE(crc32(data), 10);
  fields.writeUInt32LE(data.length, 14);
  fields.writeUInt32LE(data.length, 18);
  fields.writeUInt16LE(n.length, 22);
  const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, n, data]);
  const attributes = Buffer.alloc(14);
  attributes.writeUInt32LE((0o100644 << 16) >>> 0, 6);
  const central = Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.from([20, 3]), fields, attributes, n]);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(1, 4);
  end.writeUInt16LE(1, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(local.length, 12);
  return Buffer.concat([local, central, Buffer.from('PK\x05\x06'), end]);
}

async function nameOf(promise) {
  try {
    await promise;
    return 'no error';
  } catch (e) {
    return e.name;
  }
}

const invoke = (TenantId, payload = {}) => lambda.send(new InvokeCommand({ FunctionName, TenantId, Payload: JSON.stringify(payload) }));
const parse = (out) => JSON.parse(Buffer.from(out.Payload).toString());

const seen = { answers: [] };
await lambda.send(new CreateFunctionCommand({
  FunctionName, Runtime: 'nodejs22.x', Handler: 'index.handler', Role: 'arn:aws:iam::000000000000:role/e2e', Timeout: 20,
  Code: { ZipFile: zip('index.mjs', readFileSync(new URL('./function.mjs', import.meta.url))) },
  TenancyConfig: { TenantIsolationMode: 'PER_TENANT' }, LoggingConfig: { LogFormat: 'JSON' },
}));
try {
  await waitUntilFunctionActiveV2({ client: lambda, maxWaitTime: 60, minDelay: 1, maxDelay: 1 }, { FunctionName });
  seen.mode = (await lambda.send(new GetFunctionConfigurationCommand({ FunctionName }))).TenancyConfig.TenantIsolationMode;
  for (const tenant of ['a', 'b', 'a', 'b']) seen.answers.push(parse(await invoke(tenant)));
  seen.missing = await nameOf(invoke(undefined));
  seen.malformed = await nameOf(invoke('bl,ue'));
  const failed = await invoke('b', { fail: true });
  seen.failed = failed.FunctionError;
  seen.failedType = parse(failed).errorType;
  for (let i = 0; i < 100 && !(seen.lines >= 2); i++) {
    if (i > 0) await sleep(50);
    const { events } = await logs.send(new FilterLogEventsCommand({
      logGroupName: `/aws/lambda/${FunctionName}`, filterPattern: '{ $.tenantId = "a" || $.record.tenantId = "a" }',
    }));
    seen.lines = events.filter((e) => JSON.parse(e.message).message === 'hello').length;
  }
} finally {
  await lambda.send(new DeleteFunctionCommand({ FunctionName }));
}
seen.deleted = await nameOf(invoke('a'));
console.log(JSON.stringify(seen));
