package lambdaapi

// Limits of request bodies, in bytes.
const (
	maxBody       = 1 << 20
	maxUpload     = 70167211 // a zip file of 50 MB in Base64, and its surroundings
	maxInvocation = 6 << 20
)

// route is one operation of the API: what requests it, and what answers.
type route struct {
	method string
	// path is made of literal segments and of "{Name}" ones.
	path string
	// query is a constant "name=value" that the query has to hold, or empty.
	query     string
	operation string
	maxBody   int64
	serve     *handler // nil if the operation is not there yet
}

// table lists every operation of the Lambda API (aws-sdk-go-v2, service/lambda
// v1.114). Those without a handler answer that they are not there yet. Of two
// routes with the same method and path, the one with a query comes first.
func table() []route {
	return []route{
		{"POST", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy", "", "AddLayerVersionPermission", maxBody, with(addLayerPermission)},
		{"POST", "/2015-03-31/functions/{FunctionName}/policy", "", "AddPermission", maxBody, with(addPermission)},
		{"POST", "/2025-12-01/durable-executions/{DurableExecutionArn}/checkpoint", "", "CheckpointDurableExecution", maxInvocation, nil},
		{"POST", "/2015-03-31/functions/{FunctionName}/aliases", "", "CreateAlias", maxBody, with(createAlias)},
		{"POST", "/2025-11-30/capacity-providers", "", "CreateCapacityProvider", maxBody, nil},
		{"POST", "/2020-04-22/code-signing-configs", "", "CreateCodeSigningConfig", maxBody, with(createSigning)},
		{"POST", "/2015-03-31/event-source-mappings", "", "CreateEventSourceMapping", maxBody, nil},
		{"POST", "/2015-03-31/functions", "", "CreateFunction", maxUpload, with(createFunction)},
		{"POST", "/2021-10-31/functions/{FunctionName}/url", "", "CreateFunctionUrlConfig", maxBody, with(createURL)},
		{"DELETE", "/2015-03-31/functions/{FunctionName}/aliases/{Name}", "", "DeleteAlias", maxBody, with(deleteAlias)},
		{"DELETE", "/2025-11-30/capacity-providers/{CapacityProviderName}", "", "DeleteCapacityProvider", maxBody, nil},
		{"DELETE", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", "", "DeleteCodeSigningConfig", maxBody, with(deleteSigning)},
		{"DELETE", "/2015-03-31/event-source-mappings/{UUID}", "", "DeleteEventSourceMapping", maxBody, nil},
		{"DELETE", "/2015-03-31/functions/{FunctionName}", "", "DeleteFunction", maxBody, bare(deleteFunction)},
		{"DELETE", "/2020-06-30/functions/{FunctionName}/code-signing-config", "", "DeleteFunctionCodeSigningConfig", maxBody, with(deleteFunctionSigning)},
		{"DELETE", "/2017-10-31/functions/{FunctionName}/concurrency", "", "DeleteFunctionConcurrency", maxBody, bare(deleteFunctionConcurrency)},
		{"DELETE", "/2019-09-25/functions/{FunctionName}/event-invoke-config", "", "DeleteFunctionEventInvokeConfig", maxBody, with(deleteEventInvoke)},
		{"DELETE", "/2021-10-31/functions/{FunctionName}/url", "", "DeleteFunctionUrlConfig", maxBody, with(deleteURL)},
		{"DELETE", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", "", "DeleteLayerVersion", maxBody, with(deleteLayerVersion)},
		{"DELETE", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", "", "DeleteProvisionedConcurrencyConfig", maxBody, with(deleteProvisioned)},
		{"DELETE", "/2026-07-09/resource-policy/{ResourceArn}", "", "DeleteResourcePolicy", maxBody, with(deleteResourcePolicy)},
		{"GET", "/2016-08-19/account-settings", "", "GetAccountSettings", maxBody, bare(getAccountSettings)},
		{"GET", "/2015-03-31/functions/{FunctionName}/aliases/{Name}", "", "GetAlias", maxBody, with(getAlias)},
		{"GET", "/2025-11-30/capacity-providers/{CapacityProviderName}", "", "GetCapacityProvider", maxBody, nil},
		{"GET", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", "", "GetCodeSigningConfig", maxBody, with(getSigning)},
		{"GET", "/2025-12-01/durable-executions/{DurableExecutionArn}", "", "GetDurableExecution", maxBody, nil},
		{"GET", "/2025-12-01/durable-executions/{DurableExecutionArn}/history", "", "GetDurableExecutionHistory", maxBody, nil},
		{"GET", "/2025-12-01/durable-executions/{DurableExecutionArn}/state", "", "GetDurableExecutionState", maxBody, nil},
		{"GET", "/2015-03-31/event-source-mappings/{UUID}", "", "GetEventSourceMapping", maxBody, nil},
		{"GET", "/2015-03-31/functions/{FunctionName}", "", "GetFunction", maxBody, bare(getFunction)},
		{"GET", "/2020-06-30/functions/{FunctionName}/code-signing-config", "", "GetFunctionCodeSigningConfig", maxBody, with(getFunctionSigning)},
		{"GET", "/2019-09-30/functions/{FunctionName}/concurrency", "", "GetFunctionConcurrency", maxBody, bare(getFunctionConcurrency)},
		{"GET", "/2015-03-31/functions/{FunctionName}/configuration", "", "GetFunctionConfiguration", maxBody, bare(getFunctionConfiguration)},
		{"GET", "/2019-09-25/functions/{FunctionName}/event-invoke-config", "", "GetFunctionEventInvokeConfig", maxBody, with(getEventInvoke)},
		{"GET", "/2024-08-31/functions/{FunctionName}/recursion-config", "", "GetFunctionRecursionConfig", maxBody, with(getRecursion)},
		{"GET", "/2025-11-30/functions/{FunctionName}/function-scaling-config", "", "GetFunctionScalingConfig", maxBody, nil},
		{"GET", "/2021-10-31/functions/{FunctionName}/url", "", "GetFunctionUrlConfig", maxBody, with(getURL)},
		{"GET", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", "", "GetLayerVersion", maxBody, with(getLayerVersion)},
		{"GET", "/2018-10-31/layers", "find=LayerVersion", "GetLayerVersionByArn", maxBody, with(getLayerVersionByARN)},
		{"GET", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy", "", "GetLayerVersionPolicy", maxBody, with(getLayerVersionPolicy)},
		{"GET", "/2015-03-31/functions/{FunctionName}/policy", "", "GetPolicy", maxBody, with(getPolicy)},
		{"GET", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", "List=ALL", "ListProvisionedConcurrencyConfigs", maxBody, with(listProvisioned)},
		{"GET", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", "", "GetProvisionedConcurrencyConfig", maxBody, with(getProvisioned)},
		{"GET", "/2026-07-09/resource-policy/{ResourceArn}", "", "GetResourcePolicy", maxBody, with(getResourcePolicy)},
		{"GET", "/2021-07-20/functions/{FunctionName}/runtime-management-config", "", "GetRuntimeManagementConfig", maxBody, with(getRuntimeManagement)},
		{"POST", "/2015-03-31/functions/{FunctionName}/invocations", "", "Invoke", maxInvocation, bare(invokeFunction)},
		{"POST", "/2014-11-13/functions/{FunctionName}/invoke-async", "", "InvokeAsync", maxInvocation, bare(invokeAsync)},
		{"POST", "/2021-11-15/functions/{FunctionName}/response-streaming-invocations", "", "InvokeWithResponseStream", maxInvocation, bare(invokeStreaming)},
		{"GET", "/2015-03-31/functions/{FunctionName}/aliases", "", "ListAliases", maxBody, with(listAliases)},
		{"GET", "/2025-11-30/capacity-providers", "", "ListCapacityProviders", maxBody, nil},
		{"GET", "/2020-04-22/code-signing-configs", "", "ListCodeSigningConfigs", maxBody, with(listSigning)},
		{"GET", "/2025-12-01/functions/{FunctionName}/durable-executions", "", "ListDurableExecutionsByFunction", maxBody, nil},
		{"GET", "/2015-03-31/event-source-mappings", "", "ListEventSourceMappings", maxBody, with(listMappings)},
		{"GET", "/2019-09-25/functions/{FunctionName}/event-invoke-config/list", "", "ListFunctionEventInvokeConfigs", maxBody, with(listEventInvokes)},
		{"GET", "/2021-10-31/functions/{FunctionName}/urls", "", "ListFunctionUrlConfigs", maxBody, with(listURLs)},
		{"GET", "/2025-11-30/capacity-providers/{CapacityProviderName}/function-versions", "", "ListFunctionVersionsByCapacityProvider", maxBody, nil},
		{"GET", "/2015-03-31/functions", "", "ListFunctions", maxBody, with(listFunctions)},
		{"GET", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}/functions", "", "ListFunctionsByCodeSigningConfig", maxBody, with(listSigned)},
		{"GET", "/2018-10-31/layers/{LayerName}/versions", "", "ListLayerVersions", maxBody, with(listLayerVersions)},
		{"GET", "/2018-10-31/layers", "", "ListLayers", maxBody, with(listLayers)},
		{"GET", "/2017-03-31/tags/{Resource}", "", "ListTags", maxBody, with(listTags)},
		{"GET", "/2015-03-31/functions/{FunctionName}/versions", "", "ListVersionsByFunction", maxBody, with(listVersionsByFunction)},
		{"POST", "/2018-10-31/layers/{LayerName}/versions", "", "PublishLayerVersion", maxUpload, with(publishLayerVersion)},
		{"POST", "/2015-03-31/functions/{FunctionName}/versions", "", "PublishVersion", maxBody, with(publishVersion)},
		{"PUT", "/2020-06-30/functions/{FunctionName}/code-signing-config", "", "PutFunctionCodeSigningConfig", maxBody, with(putFunctionSigning)},
		{"PUT", "/2017-10-31/functions/{FunctionName}/concurrency", "", "PutFunctionConcurrency", maxBody, with(putFunctionConcurrency)},
		{"PUT", "/2019-09-25/functions/{FunctionName}/event-invoke-config", "", "PutFunctionEventInvokeConfig", maxBody, with(putEventInvoke)},
		{"PUT", "/2024-08-31/functions/{FunctionName}/recursion-config", "", "PutFunctionRecursionConfig", maxBody, with(putRecursion)},
		{"PUT", "/2025-11-30/functions/{FunctionName}/function-scaling-config", "", "PutFunctionScalingConfig", maxBody, nil},
		{"PUT", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", "", "PutProvisionedConcurrencyConfig", maxBody, with(putProvisioned)},
		{"PUT", "/2026-07-09/resource-policy/{ResourceArn}", "", "PutResourcePolicy", maxBody, with(putResourcePolicy)},
		{"PUT", "/2021-07-20/functions/{FunctionName}/runtime-management-config", "", "PutRuntimeManagementConfig", maxBody, with(putRuntimeManagement)},
		{"DELETE", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy/{StatementId}", "", "RemoveLayerVersionPermission", maxBody, with(removeLayerPermission)},
		{"DELETE", "/2015-03-31/functions/{FunctionName}/policy/{StatementId}", "", "RemovePermission", maxBody, with(removePermission)},
		{"POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/fail", "", "SendDurableExecutionCallbackFailure", maxInvocation, nil},
		{"POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/heartbeat", "", "SendDurableExecutionCallbackHeartbeat", maxBody, nil},
		{"POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/succeed", "", "SendDurableExecutionCallbackSuccess", maxInvocation, nil},
		{"POST", "/2025-12-01/durable-executions/{DurableExecutionArn}/stop", "", "StopDurableExecution", maxBody, nil},
		{"POST", "/2017-03-31/tags/{Resource}", "", "TagResource", maxBody, with(tagResource)},
		{"DELETE", "/2017-03-31/tags/{Resource}", "", "UntagResource", maxBody, with(untagResource)},
		{"PUT", "/2015-03-31/functions/{FunctionName}/aliases/{Name}", "", "UpdateAlias", maxBody, with(updateAlias)},
		{"PUT", "/2025-11-30/capacity-providers/{CapacityProviderName}", "", "UpdateCapacityProvider", maxBody, nil},
		{"PUT", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", "", "UpdateCodeSigningConfig", maxBody, with(updateSigning)},
		{"PUT", "/2015-03-31/event-source-mappings/{UUID}", "", "UpdateEventSourceMapping", maxBody, nil},
		{"PUT", "/2015-03-31/functions/{FunctionName}/code", "", "UpdateFunctionCode", maxUpload, with(updateFunctionCode)},
		{"PUT", "/2015-03-31/functions/{FunctionName}/configuration", "", "UpdateFunctionConfiguration", maxBody, with(updateFunctionConfiguration)},
		{"POST", "/2019-09-25/functions/{FunctionName}/event-invoke-config", "", "UpdateFunctionEventInvokeConfig", maxBody, with(updateEventInvoke)},
		{"PUT", "/2021-10-31/functions/{FunctionName}/url", "", "UpdateFunctionUrlConfig", maxBody, with(updateURL)},
	}
}
