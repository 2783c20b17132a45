// Package catalog holds the desired state: functions, their versions,
// aliases, concurrency, stock and tags. It owns the records in a [store.Store] and says which
// packages of an [artifact.Store] are still wanted; it runs nothing.
//
// Every record is in one bucket:
//
//	function/<name>            the function, its $LATEST, its counters, its aliases and what
//	                           belongs to each of those: policies and more
//	version/<id>/<number>      a published version
//	signing/<id>               a code signing configuration
//	layer/<name>/<number>      a version of a layer
//	layercount/<name>          how many versions a layer has had
//
// A function's key changes by compare-and-swap on its revision. A version's
// record is written before the function's counter includes its number, so a
// crash in between leaves a record that nobody sees and the next start removes;
// its code and configuration never change, only its state settles once.
//
// Reads come from memory. One goroutine follows the bucket and is the only one
// that changes the view; a write returns once the view contains it, so a caller
// reads what it wrote. Reading takes no lock.
//
// A function is its UUID. A name that is deleted and made again has another one,
// and nothing of the first is found under it.
package catalog
