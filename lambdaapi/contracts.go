package lambdaapi

import "github.com/alcove-run/alcove"

type CreateInput struct {
	Name    string
	Config  alcove.Config
	Zip     []byte
	Tags    map[string]string
	Publish bool
}
type UpdateCodeInput struct {
	Zip             []byte
	Architecture    string
	Publish, DryRun bool
	RevisionID      string
}
type PublishInput struct {
	Description *string
	CodeSHA256  string
	RevisionID  string
}
