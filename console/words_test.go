package console

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// TestErrorsSayWhatToDo whatever the API answers with.
func TestErrorsSayWhatToDo(t *testing.T) {
	for _, e := range []*refused{
		{403, "AccessDeniedException", "User: x is not authorized to perform: lambda:ListFunctions on resource: *"},
		{404, "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:000000000000:function:x"},
		{409, "ResourceConflictException", "The operation cannot be performed at this time. An update is in progress for resource: x"},
		{429, "TooManyRequestsException", "Rate Exceeded."},
		{400, "InvalidParameterValueException", "1 validation error detected"},
		{500, "ServiceException", "An internal error occurred."},
		{503, "", ""},
		{412, "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id."},
		{403, "UnrecognizedClientException", "The security token included in the request is invalid."},
	} {
		p := explain(e)
		if said := p.Next + strings.TrimPrefix(p.Detail, e.message); p.Title == "" || said == "" {
			t.Errorf("%s: %+v does not say what to do", e.code, p)
		}
	}
}

// TestFormsShowProgress holds every form to it that takes longer than its page, and every
// page that may be empty to saying what comes next.
func TestFormsShowProgress(t *testing.T) {
	forms := regexp.MustCompile(`<form[^>]*>`)
	empty := regexp.MustCompile(`(?s)<section class="empty".*?</section>`)
	sheets, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sheets {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range forms.FindAllString(string(b), -1) {
			// The floor's is sent by choosing; signing out takes no time.
			if !strings.Contains(form, "data-busy=") && !strings.Contains(form, `action="{{prefix}}floor"`) && !strings.Contains(form, `class="who"`) {
				t.Errorf("%s: %s says nothing while it is under way", name, form)
			}
		}
		for _, section := range empty.FindAllString(string(b), -1) {
			if !strings.Contains(section, `template "snippet"`) && !strings.Contains(section, "<a href=") {
				t.Errorf("%s: an empty page leads nowhere: %s", name, section)
			}
		}
	}
}
