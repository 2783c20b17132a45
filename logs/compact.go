package logs

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// Everything here runs in the writing goroutine.

// compactMost bounds how many bytes of batches become blocks in one transaction.
const compactMost = 2 * waitingBytes

// compactWhenDue makes blocks of a day's batches when there are many.
func (s *Store) compactWhenDue(sh *shard) {
	most := int64(waitingBytes)
	if s.cfg.Budget > 0 {
		most = min(most, s.cfg.Budget/16)
	}
	if sh.w == nil || sh.waiting.bytes < max(most, sh.putOff) && sh.waiting.chunks < waitingRows {
		return
	}
	if sh.waiting.bytes < sh.putOff {
		return
	}
	if err := s.compact(sh); err != nil {
		// They can be read as they are. With some more it is tried again.
		sh.putOff = sh.waiting.bytes + most/4
		s.log.Warn("logs: cannot make blocks of batches", "path", sh.path, "error", err)
		return
	}
	if err := sh.giveBack(2 * most); err != nil {
		s.log.Warn("logs: give room back", "path", sh.path, "error", err)
	}
}

// giveBack gives the room inside a day's file back to the disk if there is more than
// the next batches will fill.
func (sh *shard) giveBack(most int64) error {
	var free int64
	err := sh.w.QueryRow(`SELECT f.freelist_count * s.page_size FROM pragma_freelist_count f, pragma_page_size s`).Scan(&free)
	if err != nil || free <= most {
		return err
	}
	return drainRows(sh.w, `PRAGMA incremental_vacuum`)
}

// compact makes blocks of all batches of a day. Whoever reads meanwhile sees
// either.
func (s *Store) compact(sh *shard) error {
	if err := s.writing(sh); err != nil {
		return err
	}
	if sh.waiting.chunks == 0 {
		return nil
	}
	// The index learns from batches what it does not know yet after a crash.
	if err := s.index.tell(&s.untold, s.lastID); err != nil {
		return err
	}
	for {
		list, err := sh.batches(compactMost)
		if err != nil || len(list) == 0 {
			return err
		}
		if err := sh.compact(s.codec, list); err != nil {
			return fmt.Errorf("logs: compact: %w", errors.Join(err, sh.closeWriting()))
		}
		sh.putOff = 0
		for _, b := range list {
			sh.waiting.bytes -= b.weight()
			sh.waiting.chunks--
		}
	}
}

// batches gives the first batches of a day, about as many bytes as most.
func (sh *shard) batches(most int) (list []batch, err error) {
	rows, err := sh.w.Query(`SELECT id, first, least, most, contents, payload FROM batches ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("logs: read batches: %w", err)
	}
	defer rows.Close()
	for most > 0 && rows.Next() {
		var b batch
		if err := rows.Scan(&b.id, &b.first, &b.least, &b.most, &b.contents, &b.payload); err != nil {
			return nil, fmt.Errorf("logs: read batches: %w", err)
		}
		list = append(list, b)
		most -= len(b.payload)
	}
	return list, rows.Err()
}

// whose is whose events make a block.
type whose struct {
	group, stream int64
	tenant        alcove.Tenant
}

// compact puts blocks in the place of batches, in one transaction.
func (sh *shard) compact(codec codec, list []batch) error {
	events := make(map[whose][]place)
	for i := range list {
		b := &list[i]
		// What is damaged cannot be read as a batch either.
		_ = b.each(func(c chunk, p part) {
			if payload, err := p.cut(b.payload); err == nil {
				c.payload = payload
				if places, err := c.places(codec); err == nil {
					who := whose{c.group, c.stream, c.tenant}
					events[who] = append(events[who], places...)
				}
			}
		})
	}
	type piece struct {
		whose
		id     int64
		places []place
	}
	var pieces []piece
	from, to := list[0].first/1000-inOrder, list[len(list)-1].id/1000+inOrder
	for who, places := range events {
		for _, list := range cutBlocks(places, from, to) {
			p := piece{who, 0, list}
			for _, e := range list {
				p.id = max(p.id, e.id)
			}
			pieces = append(pieces, p)
		}
	}
	slices.SortFunc(pieces, func(a, b piece) int { return cmp.Compare(a.id, b.id) })
	added := make(map[alcove.Tenant]int64)
	err := sqlite.Change(sh.w, func(tx *sql.Tx) error {
		insert, err := tx.Prepare(`INSERT INTO blocks(id, grp, stream, tenant, class, least, most, lines, text, payload) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		held := make(map[[2]int64]*amount)
		var scratch []byte
		for _, p := range pieces {
			tenant, err := sh.number(tx, p.tenant, added)
			if err != nil {
				return err
			}
			var payload []byte
			payload, scratch = codec.encode(p.places, scratch)
			text := 0
			for _, e := range p.places {
				text += len(e.message)
			}
			least, most := p.places[0].at, p.places[len(p.places)-1].at
			if _, err := insert.Exec(p.id, p.group, p.stream, tenant, classOf(most-least), least, most, len(p.places), text, payload); err != nil {
				return err
			}
			who := [2]int64{p.group, tenant}
			n := held[who]
			if n == nil {
				n = new(amount)
				held[who] = n
			}
			n.bytes += int64(len(payload))
			n.saved += int64(text - len(payload))
			n.chunks++
		}
		for who, n := range held {
			if _, err := tx.Exec(`INSERT INTO held(grp, tenant, bytes, saved, chunks) VALUES(?1, ?2, ?3, ?4, ?5)
				ON CONFLICT DO UPDATE SET bytes = bytes + ?3, saved = saved + ?4, chunks = chunks + ?5`, who[0], who[1], n.bytes, n.saved, n.chunks); err != nil {
				return err
			}
		}
		_, err = tx.Exec(`DELETE FROM batches WHERE id <= ?`, list[len(list)-1].id)
		return err
	})
	if err != nil {
		return err
	}
	if len(sh.tenants) > maxTenants {
		clear(sh.tenants)
	}
	for t, id := range added {
		sh.tenants[t] = id
	}
	return nil
}

// number is a tenant's number in this shard, given if it has none; added has those
// given in this transaction.
func (sh *shard) number(tx *sql.Tx, tenant alcove.Tenant, added map[alcove.Tenant]int64) (int64, error) {
	if id, ok := sh.tenants[tenant]; ok {
		return id, nil
	}
	if id, ok := added[tenant]; ok {
		return id, nil
	}
	id, err := ensure(tx, `SELECT id FROM tenants WHERE name = ?`, []any{string(tenant)}, `INSERT INTO tenants(name) VALUES(?)`, []any{string(tenant)})
	if err == nil {
		added[tenant] = id
	}
	return id, err
}
