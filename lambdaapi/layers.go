package lambdaapi

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/catalog"
)

// layerContentShape says where a layer's package is.
type layerContentShape struct {
	ZipFile             blob
	S3Bucket            *string `is:"S3Bucket"`
	S3Key               *string `is:"S3Key"`
	S3ObjectVersion     *string `is:"S3ObjectVersion"`
	S3ObjectStorageMode *string `is:"S3ObjectStorageMode"`
}

type publishLayerInput struct {
	LayerName               *string            `from:"path" is:"LayerName"`
	Description             *string            `is:"Description"`
	Content                 *layerContentShape `is:",required"`
	CompatibleArchitectures []string           `is:"CompatibleArchitectures"`
	CompatibleRuntimes      []string           `is:"CompatibleRuntimes"`
	LicenseInfo             *string            `is:"LicenseInfo"`
}

type layerContentOutput struct {
	Location   string
	CodeSha256 string
	CodeSize   int64
}

// layerListed is AWS's LayerVersionsListItem. What was not said when the version
// was published is left out.
type layerListed struct {
	LayerVersionArn         string
	Version                 int
	Description             string
	CreatedDate             string
	CompatibleArchitectures []string `json:",omitzero"`
	CompatibleRuntimes      []string `json:",omitzero"`
	LicenseInfo             string   `json:",omitempty"`
}

type layerOutput struct {
	layerListed
	LayerArn string
	Content  layerContentOutput
}

func (a *API) listedLayer(l *catalog.LayerVersion) layerListed {
	return layerListed{LayerVersionArn: a.Place.LayerARN(l.Name) + ":" + strconv.Itoa(l.Number), Version: l.Number, Description: l.Description,
		CreatedDate: l.Created.UTC().Format(timeLayout), CompatibleArchitectures: l.Architectures, CompatibleRuntimes: l.Runtimes, LicenseInfo: l.License}
}

func (a *API) layerOutput(c *call, caller alcove.Caller, l *catalog.LayerVersion) *layerOutput {
	return &layerOutput{layerListed: a.listedLayer(l), LayerArn: a.Place.LayerARN(l.Name),
		Content: layerContentOutput{a.codeURL(c.request, caller, l.Code.SHA256), base64Digest(l.Code.SHA256), l.Code.Size}}
}

func publishLayerVersion(a *API, ctx context.Context, caller alcove.Caller, c *call, in *publishLayerInput) (reply, error) {
	name, err := a.layerName(*in.LayerName)
	if err != nil {
		return reply{}, err
	}
	content := codeShape{ZipFile: in.Content.ZipFile, S3Bucket: in.Content.S3Bucket, S3Key: in.Content.S3Key, S3ObjectVersion: in.Content.S3ObjectVersion,
		S3ObjectStorageMode: in.Content.S3ObjectStorageMode}
	if err := content.refuse(a); err != nil {
		return reply{}, err
	}
	zip := artifact.Sent(content.ZipFile)
	if content.inS3() {
		var release func()
		if zip, release, err = a.fetchCode(ctx, caller, c, &content); err != nil {
			return reply{}, err
		}
		defer release()
		ctx = context.WithoutCancel(ctx)
	}
	l := catalog.LayerVersion{Name: name, Architectures: in.CompatibleArchitectures, Runtimes: in.CompatibleRuntimes}
	set(&l.Description, in.Description)
	set(&l.License, in.LicenseInfo)
	made, err := a.Catalog.PublishLayer(ctx, caller, l, zip)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: a.layerOutput(c, caller, made)}, nil
}

// layerName reads the name of a layer of this place, which may be its ARN.
func (a *API) layerName(named string) (string, error) {
	name := named[strings.LastIndexByte(named, ':')+1:]
	if name != named && a.Place.LayerARN(name) != named {
		return "", alcove.ClientError(alcove.CodeResourceNotFound, "The resource you requested does not exist.")
	}
	return name, nil
}

// layerInput names a version of a layer.
type layerInput struct {
	LayerName     *string `from:"path" is:"LayerName"`
	VersionNumber *int    `from:"path"`
}

func (in *layerInput) version(a *API) (string, int, error) {
	name, err := a.layerName(*in.LayerName)
	if err == nil && *in.VersionNumber < 1 {
		err = alcove.InvalidParameter("Layer Version Cannot be less than 1")
	}
	return name, *in.VersionNumber, err
}

func getLayerVersion(a *API, _ context.Context, caller alcove.Caller, c *call, in *layerInput) (reply, error) {
	name, number, err := in.version(a)
	if err != nil {
		return reply{}, err
	}
	l, err := a.Catalog.Layer(name, number)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: a.layerOutput(c, caller, l)}, nil
}

type layerByARNInput struct {
	Arn *string `from:"query" is:"LayerVersionArn,required"`
}

func getLayerVersionByARN(a *API, _ context.Context, caller alcove.Caller, c *call, in *layerByARNInput) (reply, error) {
	at := strings.LastIndexByte(*in.Arn, ':')
	name, err := a.layerName((*in.Arn)[:at])
	if err != nil {
		return reply{}, err
	}
	number, _ := strconv.Atoi((*in.Arn)[at+1:]) // no version is 0
	l, err := a.Catalog.Layer(name, number)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: a.layerOutput(c, caller, l)}, nil
}

func deleteLayerVersion(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *layerInput) (reply, error) {
	name, number, err := in.version(a)
	if err != nil {
		return reply{}, err
	}
	return done(a.Catalog.DeleteLayer(ctx, caller, name, number))
}

// suitingInput asks for layers that say that they are compatible.
type suitingInput struct {
	CompatibleArchitecture *string `from:"query" is:"Architecture"`
	CompatibleRuntime      *string `from:"query" is:"AnyRuntime"`
	Marker                 *string `from:"query"`
	MaxItems               *int    `from:"query" is:"MaxConfigItems"`
}

func (in *suitingInput) suits(l *catalog.LayerVersion) bool {
	return (in.CompatibleArchitecture == nil || slices.Contains(l.Architectures, *in.CompatibleArchitecture)) &&
		(in.CompatibleRuntime == nil || slices.Contains(l.Runtimes, *in.CompatibleRuntime))
}

type latestLayer struct {
	LayerName             string
	LayerArn              string
	LatestMatchingVersion layerListed
}

type listLayersOutput struct {
	Layers     []latestLayer
	NextMarker string `json:",omitempty"`
}

func listLayers(a *API, _ context.Context, _ alcove.Caller, _ *call, in *suitingInput) (reply, error) {
	page := listInput{in.Marker, in.MaxItems}
	list, next, err := a.Catalog.LatestLayers(page.marker(), page.max(), in.suits)
	if err != nil {
		return reply{}, err
	}
	out := listLayersOutput{Layers: make([]latestLayer, len(list)), NextMarker: next}
	for i, l := range list {
		out.Layers[i] = latestLayer{l.Name, a.Place.LayerARN(l.Name), a.listedLayer(l)}
	}
	return reply{status: http.StatusOK, body: out}, nil
}

type listLayerVersionsInput struct {
	LayerName *string `from:"path" is:"LayerName"`
	suitingInput
}

type listLayerVersionsOutput struct {
	LayerVersions []layerListed
	NextMarker    string `json:",omitempty"`
}

func listLayerVersions(a *API, _ context.Context, _ alcove.Caller, _ *call, in *listLayerVersionsInput) (reply, error) {
	name, err := a.layerName(*in.LayerName)
	if err != nil {
		return reply{}, err
	}
	page := listInput{in.Marker, in.MaxItems}
	list, next, err := a.Catalog.LayerVersions(name, page.marker(), page.max(), in.suits)
	if err != nil {
		return reply{}, err
	}
	out := listLayerVersionsOutput{LayerVersions: each(list, a.listedLayer), NextMarker: next}
	return reply{status: http.StatusOK, body: out}, nil
}

type addLayerPermissionInput struct {
	layerInput
	StatementId    *string `is:"StatementId,required"`
	Action         *string `is:"LayerPermissionAllowedAction,required"`
	Principal      *string `is:"LayerPermissionAllowedPrincipal,required"`
	OrganizationId *string `is:"OrganizationId"`
	RevisionId     *string `from:"query"`
}

func addLayerPermission(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *addLayerPermissionInput) (reply, error) {
	name, number, err := in.version(a)
	if err != nil {
		return reply{}, err
	}
	var condition map[string]map[string]string
	if in.OrganizationId != nil {
		condition = map[string]map[string]string{"StringEquals": {"aws:PrincipalOrgID": *in.OrganizationId}}
	}
	permission := a.permission(*in.StatementId, *in.Principal, *in.Action, condition, in.RevisionId)
	added, revision, err := a.Catalog.AddLayerPermission(ctx, caller, name, number, permission)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: struct{ Statement, RevisionId string }{string(added), revision}}, nil
}

type removeLayerPermissionInput struct {
	layerInput
	StatementId *string `from:"path" is:"StatementId"`
	RevisionId  *string `from:"query"`
}

func removeLayerPermission(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *removeLayerPermissionInput) (reply, error) {
	name, number, err := in.version(a)
	if err != nil {
		return reply{}, err
	}
	var revision string
	set(&revision, in.RevisionId)
	return done(a.Catalog.RemoveLayerPermission(ctx, caller, name, number, *in.StatementId, revision))
}

func getLayerVersionPolicy(a *API, _ context.Context, _ alcove.Caller, _ *call, in *layerInput) (reply, error) {
	name, number, err := in.version(a)
	if err != nil {
		return reply{}, err
	}
	document, revision, err := a.Catalog.LayerPolicy(name, number)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: policyOutput{document, revision}}, nil
}
