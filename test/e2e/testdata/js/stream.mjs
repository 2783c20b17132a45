// Reads a streamed answer with the official SDK, event by event, and prints what
// it saw as JSON; streaming_test.go judges.
import { InvokeWithResponseStreamCommand, LambdaClient } from '@aws-sdk/client-lambda';

const lambda = new LambdaClient({ endpoint: process.env.ENDPOINT, maxAttempts: 1 });
const seen = [];
for (const payload of process.argv.slice(2)) {
  const out = await lambda.send(new InvokeWithResponseStreamCommand({
    FunctionName: process.env.FUNCTION, TenantId: process.env.TENANT, Payload: payload, LogType: 'Tail',
  }));
  const one = { version: out.ExecutedVersion, chunks: [] };
  for await (const event of out.EventStream) {
    if (event.PayloadChunk) one.chunks.push(Buffer.from(event.PayloadChunk.Payload).toString());
    if (event.InvokeComplete) one.end = event.InvokeComplete;
  }
  seen.push(one);
}
console.log(JSON.stringify(seen));
