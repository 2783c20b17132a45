package launch

import (
	"bytes"
	"debug/elf"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// Every field crosses the socket: an order filled by reflection comes out as it
// went in.
func TestOrderCrosses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in, out Order
		v := reflect.ValueOf(&in).Elem()
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			switch f := v.Field(i); f.Interface().(type) {
			case string:
				f.SetString(rapid.String().Draw(t, name))
			case uint64:
				f.SetUint(rapid.Uint64Min(1).Draw(t, name))
			case bool:
				f.SetBool(rapid.Bool().Draw(t, name))
			case []string:
				f.Set(reflect.ValueOf(rapid.SliceOfN(rapid.String(), 1, 5).Draw(t, name)))
			case []uint64:
				f.Set(reflect.ValueOf(rapid.SliceOfN(rapid.Uint64(), 1, 5).Draw(t, name)))
			case []byte:
				f.SetBytes(rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, name))
			case []Mount:
				f.Set(reflect.ValueOf([]Mount{{rapid.String().Draw(t, name), rapid.String().Draw(t, name)}}))
			default:
				t.Fatalf("field %s has a type that this test does not know", name)
			}
		}
		if err := out.Decode(in.Encode()); err != nil || !reflect.DeepEqual(in, out) {
			t.Fatalf("%v\nsent     %+v\nreceived %+v", err, in, out)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add((&Order{Args: []string{"a", "b"}, Mounts: []Mount{{"a", "b"}}, Filter: []byte{1}}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		var o Order
		if o.Decode(b) != nil {
			return
		}
		var again Order
		if err := again.Decode(o.Encode()); err != nil || !reflect.DeepEqual(o, again) {
			t.Errorf("%v: %+v, %+v", err, o, again)
		}
	})
}

func TestReaperIsAnExecutable(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(Reaper()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != elf.ET_EXEC || len(f.Progs) != 2 || f.Progs[0].Flags != elf.PF_R|elf.PF_X || f.Progs[1].Flags != elf.PF_R|elf.PF_W {
		t.Errorf("%+v, %+v, %+v", f.FileHeader, f.Progs[0], f.Progs[1])
	}
	if len(Reaper()) > 4096 {
		t.Errorf("it takes %d bytes", len(Reaper()))
	}
}
