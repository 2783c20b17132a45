// A client of AWS in JavaScript, as clients_test.go drives it: a request from each
// line of the input, an answer to a line of the output.
import * as sdk from '@aws-sdk/client-lambda';
import { createInterface } from 'node:readline';

const client = new sdk.LambdaClient({ endpoint: process.env.ENDPOINT, maxAttempts: 1 });
const blobs = new Set(['ZipFile', 'Payload', 'InvokeArgs']);

const request = (value) => (value && typeof value === 'object' && !Array.isArray(value)
  ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, blobs.has(k) ? Buffer.from(v, 'base64') : request(v)]))
  : value);
const base64 = (bytes) => Buffer.from(bytes).toString('base64');
const replace = (key, value) => (blobs.has(key) && value && typeof value === 'object' ? base64(Object.values(value)) : value);

async function stream(out) {
  const chunks = [];
  const got = { ExecutedVersion: out.ExecutedVersion };
  for await (const event of out.EventStream) {
    if (event.PayloadChunk) chunks.push(event.PayloadChunk.Payload);
    if (event.InvokeComplete) Object.assign(got, { Complete: true, ErrorCode: event.InvokeComplete.ErrorCode ?? '' });
  }
  return { ...got, Payload: base64(Buffer.concat(chunks)) };
}

async function serve(want) {
  const given = request(want.in);
  if (want.wait) {
    const wait = sdk[`waitUntil${want.wait}`];
    if (!wait) return { Unknown: `the waiter ${want.wait}` };
    const { state, reason } = await wait({ client, maxWaitTime: 60, minDelay: 1, maxDelay: 1 }, given);
    return state === 'SUCCESS' ? {} : { Code: 'waiter', Text: String(reason) };
  }
  if (want.pages) {
    const paginate = sdk[`paginate${want.pages}`];
    if (!paginate) return { Unknown: `the paginator of ${want.pages}` };
    const Lengths = [];
    const All = [];
    for await (const page of paginate({ client, pageSize: want.size }, given)) {
      Lengths.push(page[want.list].length);
      All.push(...page[want.list]);
    }
    return { Lengths, All };
  }
  const Command = sdk[`${want.op}Command`];
  if (!Command) return { Unknown: `the operation ${want.op}` };
  const { $metadata, ...out } = await client.send(new Command(given));
  return { Out: out.EventStream ? await stream(out) : out };
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = await serve(JSON.parse(line));
  } catch (e) {
    if (!e.$metadata?.httpStatusCode && !String(e).includes('waiter')) throw e;
    answer = { Code: e.name, Text: e.message, Status: e.$metadata?.httpStatusCode ?? 0 };
  }
  process.stdout.write(`${JSON.stringify(answer, replace)}\n`);
}
