package lambdaapi

import "testing"

// One for each route of the table, in its order: see fuzzRoute.

func FuzzRouteAddLayerVersionPermission(f *testing.F)  { fuzzRoute(f, "AddLayerVersionPermission") }
func FuzzRouteAddPermission(f *testing.F)              { fuzzRoute(f, "AddPermission") }
func FuzzRouteCheckpointDurableExecution(f *testing.F) { fuzzRoute(f, "CheckpointDurableExecution") }
func FuzzRouteCreateAlias(f *testing.F)                { fuzzRoute(f, "CreateAlias") }
func FuzzRouteCreateCapacityProvider(f *testing.F)     { fuzzRoute(f, "CreateCapacityProvider") }
func FuzzRouteCreateCodeSigningConfig(f *testing.F)    { fuzzRoute(f, "CreateCodeSigningConfig") }
func FuzzRouteCreateEventSourceMapping(f *testing.F)   { fuzzRoute(f, "CreateEventSourceMapping") }
func FuzzRouteCreateFunction(f *testing.F)             { fuzzRoute(f, "CreateFunction") }
func FuzzRouteCreateFunctionUrlConfig(f *testing.F)    { fuzzRoute(f, "CreateFunctionUrlConfig") }
func FuzzRouteDeleteAlias(f *testing.F)                { fuzzRoute(f, "DeleteAlias") }
func FuzzRouteDeleteCapacityProvider(f *testing.F)     { fuzzRoute(f, "DeleteCapacityProvider") }
func FuzzRouteDeleteCodeSigningConfig(f *testing.F)    { fuzzRoute(f, "DeleteCodeSigningConfig") }
func FuzzRouteDeleteEventSourceMapping(f *testing.F)   { fuzzRoute(f, "DeleteEventSourceMapping") }
func FuzzRouteDeleteFunction(f *testing.F)             { fuzzRoute(f, "DeleteFunction") }
func FuzzRouteDeleteFunctionCodeSigningConfig(f *testing.F) {
	fuzzRoute(f, "DeleteFunctionCodeSigningConfig")
}
func FuzzRouteDeleteFunctionConcurrency(f *testing.F) { fuzzRoute(f, "DeleteFunctionConcurrency") }
func FuzzRouteDeleteFunctionEventInvokeConfig(f *testing.F) {
	fuzzRoute(f, "DeleteFunctionEventInvokeConfig")
}
func FuzzRouteDeleteFunctionUrlConfig(f *testing.F) { fuzzRoute(f, "DeleteFunctionUrlConfig") }
func FuzzRouteDeleteLayerVersion(f *testing.F)      { fuzzRoute(f, "DeleteLayerVersion") }
func FuzzRouteDeleteProvisionedConcurrencyConfig(f *testing.F) {
	fuzzRoute(f, "DeleteProvisionedConcurrencyConfig")
}
func FuzzRouteDeleteResourcePolicy(f *testing.F)       { fuzzRoute(f, "DeleteResourcePolicy") }
func FuzzRouteGetAccountSettings(f *testing.F)         { fuzzRoute(f, "GetAccountSettings") }
func FuzzRouteGetAlias(f *testing.F)                   { fuzzRoute(f, "GetAlias") }
func FuzzRouteGetCapacityProvider(f *testing.F)        { fuzzRoute(f, "GetCapacityProvider") }
func FuzzRouteGetCodeSigningConfig(f *testing.F)       { fuzzRoute(f, "GetCodeSigningConfig") }
func FuzzRouteGetDurableExecution(f *testing.F)        { fuzzRoute(f, "GetDurableExecution") }
func FuzzRouteGetDurableExecutionHistory(f *testing.F) { fuzzRoute(f, "GetDurableExecutionHistory") }
func FuzzRouteGetDurableExecutionState(f *testing.F)   { fuzzRoute(f, "GetDurableExecutionState") }
func FuzzRouteGetEventSourceMapping(f *testing.F)      { fuzzRoute(f, "GetEventSourceMapping") }
func FuzzRouteGetFunction(f *testing.F)                { fuzzRoute(f, "GetFunction") }
func FuzzRouteGetFunctionCodeSigningConfig(f *testing.F) {
	fuzzRoute(f, "GetFunctionCodeSigningConfig")
}
func FuzzRouteGetFunctionConcurrency(f *testing.F)   { fuzzRoute(f, "GetFunctionConcurrency") }
func FuzzRouteGetFunctionConfiguration(f *testing.F) { fuzzRoute(f, "GetFunctionConfiguration") }
func FuzzRouteGetFunctionEventInvokeConfig(f *testing.F) {
	fuzzRoute(f, "GetFunctionEventInvokeConfig")
}
func FuzzRouteGetFunctionRecursionConfig(f *testing.F) { fuzzRoute(f, "GetFunctionRecursionConfig") }
func FuzzRouteGetFunctionScalingConfig(f *testing.F)   { fuzzRoute(f, "GetFunctionScalingConfig") }
func FuzzRouteGetFunctionUrlConfig(f *testing.F)       { fuzzRoute(f, "GetFunctionUrlConfig") }
func FuzzRouteGetLayerVersion(f *testing.F)            { fuzzRoute(f, "GetLayerVersion") }
func FuzzRouteGetLayerVersionByArn(f *testing.F)       { fuzzRoute(f, "GetLayerVersionByArn") }
func FuzzRouteGetLayerVersionPolicy(f *testing.F)      { fuzzRoute(f, "GetLayerVersionPolicy") }
func FuzzRouteGetPolicy(f *testing.F)                  { fuzzRoute(f, "GetPolicy") }
func FuzzRouteListProvisionedConcurrencyConfigs(f *testing.F) {
	fuzzRoute(f, "ListProvisionedConcurrencyConfigs")
}
func FuzzRouteGetProvisionedConcurrencyConfig(f *testing.F) {
	fuzzRoute(f, "GetProvisionedConcurrencyConfig")
}
func FuzzRouteGetResourcePolicy(f *testing.F)          { fuzzRoute(f, "GetResourcePolicy") }
func FuzzRouteGetRuntimeManagementConfig(f *testing.F) { fuzzRoute(f, "GetRuntimeManagementConfig") }
func FuzzRouteInvoke(f *testing.F)                     { fuzzRoute(f, "Invoke") }
func FuzzRouteInvokeAsync(f *testing.F)                { fuzzRoute(f, "InvokeAsync") }
func FuzzRouteInvokeWithResponseStream(f *testing.F)   { fuzzRoute(f, "InvokeWithResponseStream") }
func FuzzRouteListAliases(f *testing.F)                { fuzzRoute(f, "ListAliases") }
func FuzzRouteListCapacityProviders(f *testing.F)      { fuzzRoute(f, "ListCapacityProviders") }
func FuzzRouteListCodeSigningConfigs(f *testing.F)     { fuzzRoute(f, "ListCodeSigningConfigs") }
func FuzzRouteListDurableExecutionsByFunction(f *testing.F) {
	fuzzRoute(f, "ListDurableExecutionsByFunction")
}
func FuzzRouteListEventSourceMappings(f *testing.F) { fuzzRoute(f, "ListEventSourceMappings") }
func FuzzRouteListFunctionEventInvokeConfigs(f *testing.F) {
	fuzzRoute(f, "ListFunctionEventInvokeConfigs")
}
func FuzzRouteListFunctionUrlConfigs(f *testing.F) { fuzzRoute(f, "ListFunctionUrlConfigs") }
func FuzzRouteListFunctionVersionsByCapacityProvider(f *testing.F) {
	fuzzRoute(f, "ListFunctionVersionsByCapacityProvider")
}
func FuzzRouteListFunctions(f *testing.F) { fuzzRoute(f, "ListFunctions") }
func FuzzRouteListFunctionsByCodeSigningConfig(f *testing.F) {
	fuzzRoute(f, "ListFunctionsByCodeSigningConfig")
}
func FuzzRouteListLayerVersions(f *testing.F)      { fuzzRoute(f, "ListLayerVersions") }
func FuzzRouteListLayers(f *testing.F)             { fuzzRoute(f, "ListLayers") }
func FuzzRouteListTags(f *testing.F)               { fuzzRoute(f, "ListTags") }
func FuzzRouteListVersionsByFunction(f *testing.F) { fuzzRoute(f, "ListVersionsByFunction") }
func FuzzRoutePublishLayerVersion(f *testing.F)    { fuzzRoute(f, "PublishLayerVersion") }
func FuzzRoutePublishVersion(f *testing.F)         { fuzzRoute(f, "PublishVersion") }
func FuzzRoutePutFunctionCodeSigningConfig(f *testing.F) {
	fuzzRoute(f, "PutFunctionCodeSigningConfig")
}
func FuzzRoutePutFunctionConcurrency(f *testing.F) { fuzzRoute(f, "PutFunctionConcurrency") }
func FuzzRoutePutFunctionEventInvokeConfig(f *testing.F) {
	fuzzRoute(f, "PutFunctionEventInvokeConfig")
}
func FuzzRoutePutFunctionRecursionConfig(f *testing.F) { fuzzRoute(f, "PutFunctionRecursionConfig") }
func FuzzRoutePutFunctionScalingConfig(f *testing.F)   { fuzzRoute(f, "PutFunctionScalingConfig") }
func FuzzRoutePutProvisionedConcurrencyConfig(f *testing.F) {
	fuzzRoute(f, "PutProvisionedConcurrencyConfig")
}
func FuzzRoutePutResourcePolicy(f *testing.F)          { fuzzRoute(f, "PutResourcePolicy") }
func FuzzRoutePutRuntimeManagementConfig(f *testing.F) { fuzzRoute(f, "PutRuntimeManagementConfig") }
func FuzzRouteRemoveLayerVersionPermission(f *testing.F) {
	fuzzRoute(f, "RemoveLayerVersionPermission")
}
func FuzzRouteRemovePermission(f *testing.F) { fuzzRoute(f, "RemovePermission") }
func FuzzRouteSendDurableExecutionCallbackFailure(f *testing.F) {
	fuzzRoute(f, "SendDurableExecutionCallbackFailure")
}
func FuzzRouteSendDurableExecutionCallbackHeartbeat(f *testing.F) {
	fuzzRoute(f, "SendDurableExecutionCallbackHeartbeat")
}
func FuzzRouteSendDurableExecutionCallbackSuccess(f *testing.F) {
	fuzzRoute(f, "SendDurableExecutionCallbackSuccess")
}
func FuzzRouteStopDurableExecution(f *testing.F)        { fuzzRoute(f, "StopDurableExecution") }
func FuzzRouteTagResource(f *testing.F)                 { fuzzRoute(f, "TagResource") }
func FuzzRouteUntagResource(f *testing.F)               { fuzzRoute(f, "UntagResource") }
func FuzzRouteUpdateAlias(f *testing.F)                 { fuzzRoute(f, "UpdateAlias") }
func FuzzRouteUpdateCapacityProvider(f *testing.F)      { fuzzRoute(f, "UpdateCapacityProvider") }
func FuzzRouteUpdateCodeSigningConfig(f *testing.F)     { fuzzRoute(f, "UpdateCodeSigningConfig") }
func FuzzRouteUpdateEventSourceMapping(f *testing.F)    { fuzzRoute(f, "UpdateEventSourceMapping") }
func FuzzRouteUpdateFunctionCode(f *testing.F)          { fuzzRoute(f, "UpdateFunctionCode") }
func FuzzRouteUpdateFunctionConfiguration(f *testing.F) { fuzzRoute(f, "UpdateFunctionConfiguration") }
func FuzzRouteUpdateFunctionEventInvokeConfig(f *testing.F) {
	fuzzRoute(f, "UpdateFunctionEventInvokeConfig")
}
func FuzzRouteUpdateFunctionUrlConfig(f *testing.F) { fuzzRoute(f, "UpdateFunctionUrlConfig") }
