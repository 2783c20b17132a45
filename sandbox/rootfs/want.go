package rootfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alcove-run/alcove/sandbox"
)

// Want says what a tree has beyond what every tree has (see Base).
type Want struct {
	// Name is for log lines only: "python3.11". Two wants that differ only in
	// their names share one tree.
	Name string
	// Programs are absolute host paths of ELF programs, shared libraries or
	// scripts. What they need comes along: interpreter, loader, libraries.
	// A program reached through a symbolic link keeps both of its names.
	Programs []string
	// Dirs are absolute host paths of directories that are copied with what is
	// below them, at the same place, but for what no function needs (tests,
	// tools to build and to install; see skipped). The libraries that the
	// shared objects in them need come along if the host has them.
	Dirs []string
	// Files are files of our own, by absolute path. The content is all there
	// is to them; a content that begins with "#!" or with an ELF header is
	// made executable.
	Files map[string][]byte
	// Links are symbolic links of our own: absolute path to target, which is
	// absolute in the tree or relative to the link.
	Links map[string]string
}

// key tells wants apart by what they ask for. It is made for every sandbox, so
// contents are hashed as they are: written with %q they took two milliseconds.
func (w Want) key() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q", w.Programs, w.Dirs, w.Links) // maps are printed sorted
	for _, name := range slices.Sorted(maps.Keys(w.Files)) {
		content := w.Files[name]
		fmt.Fprintf(h, " %q %d ", name, len(content))
		h.Write(content)
	}
	return string(h.Sum(nil))
}

// baseRequired are the programs without which a tree is useless.
var baseRequired = []string{"sh", "env"}

// basePrograms are the small programs that scripts (a custom runtime's
// bootstrap is often a shell script) take for granted. Those that the host
// does not have are left out.
var basePrograms = strings.Fields(`
	sh bash env
	ls cat echo mkdir rmdir rm cp mv ln head tail sort uniq wc tr cut date sleep id
	pwd test [ true false printf seq tee touch chmod stat du df sha256sum md5sum base64
	dirname basename readlink realpath mktemp uname expr nproc timeout
	sed grep awk find xargs curl tar gzip gunzip`)

// programDirs are where Base looks for programs, in this order.
var programDirs = []string{"/usr/bin", "/bin"}

// baseSonames are libraries that no program of the tree may mention and that a
// package may count upon: all parts of libc, which programs linked against one
// older than 2.34 name and which libc opens by itself (name services; libgcc_s,
// to unwind for pthread_cancel), and the C++ library. Those that the host does not
// have are left out.
var baseSonames = strings.Fields(`
	libdl.so.2 libm.so.6 libmvec.so.1 libpthread.so.0 librt.so.1 libutil.so.1 libresolv.so.2 libanl.so.1
	libnss_files.so.2 libnss_dns.so.2 libnss_compat.so.2 libgcc_s.so.1 libstdc++.so.6`)

// mountPoints are directories that every tree has, empty, for the drivers and
// for sandbox.Spec.Mounts to mount upon.
var mountPoints = []string{
	"/proc", "/sys", "/dev", "/dev/shm", "/tmp", "/run", sandbox.SocketDir, sandbox.ExtensionsDir,
	"/var", "/var/task", "/var/runtime", "/opt", "/mnt",
}

// caFiles are where distributions keep their bundle of CA certificates.
var caFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Arch, Alpine
	"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, Amazon Linux
	"/etc/ssl/ca-bundle.pem",             // SUSE
	"/etc/ssl/cert.pem",
}

// caLinks are where else programs look for the bundle, which a tree has in the
// first of caFiles. The last is where Debian's OpenSSL looks, and so Python.
var caLinks = []string{
	"/etc/pki/tls/cert.pem",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/cert.pem",
	"/usr/lib/ssl/cert.pem",
}

// Base is what every tree has: a shell and the usual small programs, time
// zones, the C.UTF-8 locale, CA certificates, and the few files in /etc that
// libc reads. Tree adds it to whatever it is asked for.
func Base() Want {
	w := Want{Name: "base", Files: baseFiles(), Links: make(map[string]string)}
	if _, ok := w.Files[caFiles[0]]; ok {
		for _, name := range caLinks {
			w.Links[name] = caFiles[0]
		}
	}
	if isFile("/usr/share/zoneinfo/UTC") {
		w.Links["/etc/localtime"] = "/usr/share/zoneinfo/UTC"
	}
	for _, name := range basePrograms {
		for _, dir := range programDirs {
			if p := filepath.Join(dir, name); isFile(p) {
				w.Programs = append(w.Programs, p)
				break
			}
		}
	}
	for _, dir := range []string{"/usr/share/zoneinfo", "/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"} {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			w.Dirs = append(w.Dirs, dir)
		}
	}
	return w
}

func baseFiles() map[string][]byte {
	files := map[string][]byte{
		"/etc/passwd": []byte("root:x:0:0:root:/root:/bin/sh\n" +
			sandbox.UserName + ":x:993:990::/home/" + sandbox.UserName + ":/sbin/nologin\n" +
			"nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"),
		"/etc/group":         []byte("root:x:0:\n" + sandbox.UserName + ":x:990:\nnogroup:x:65534:\n"),
		"/etc/hosts":         []byte(sandbox.Hosts),
		"/etc/nsswitch.conf": []byte("passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"),
		"/etc/resolv.conf":   []byte("nameserver " + sandbox.GatewayAddr4 + "\n"),
		"/etc/services":      []byte("ssh 22/tcp\nsmtp 25/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\nntp 123/udp\nhttps 443/tcp\n"),
		"/etc/protocols":     []byte("ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6 41 IPv6\nipv6-icmp 58 IPv6-ICMP\n"),
		"/etc/os-release":    osRelease(),
	}
	if ca := caBundle(); len(ca) > 0 {
		files[caFiles[0]] = ca
	}
	return files
}

// caBundle is the host's bundle of CA certificates, and nothing else that
// might stand in the same file.
func caBundle() []byte {
	for _, name := range caFiles {
		raw, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		var out bytes.Buffer
		for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "CERTIFICATE" {
				block.Headers = nil
				_ = pem.Encode(&out, block) // cannot fail: no headers, and a Buffer takes everything
			}
		}
		if out.Len() > 0 {
			return out.Bytes()
		}
	}
	return nil
}

// osRelease says whose files the tree is made of, and that it is not the whole
// of that system.
func osRelease() []byte {
	keep := map[string]bool{"NAME": true, "ID": true, "ID_LIKE": true, "VERSION": true, "VERSION_ID": true, "VERSION_CODENAME": true}
	raw, err := os.ReadFile("/etc/os-release")
	if err != nil {
		raw, _ = os.ReadFile("/usr/lib/os-release")
	}
	var out strings.Builder
	pretty := "Linux"
	for line := range strings.Lines(string(raw)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case !ok:
		case key == "PRETTY_NAME":
			pretty = strings.Trim(value, `"'`)
		case keep[key]:
			out.WriteString(key + "=" + value + "\n")
		}
	}
	out.WriteString("PRETTY_NAME=\"alcove sandbox, from files of " + pretty + "\"\nVARIANT=\"alcove sandbox\"\nVARIANT_ID=alcove\n")
	return []byte(out.String())
}

func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}
