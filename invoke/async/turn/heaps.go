package turn

// partyHeap has the party first whose turn it is.
type partyHeap []*party

func (h partyHeap) Len() int { return len(h) }
func (h partyHeap) Less(i, j int) bool {
	if h[i].running != h[j].running {
		return h[i].running < h[j].running
	}
	return h[i].served < h[j].served
}
func (h partyHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *partyHeap) Push(x any) {
	p := x.(*party)
	p.at = len(*h)
	*h = append(*h, p)
}
func (h *partyHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	p.at = -1
	return p
}

// laneHeap has the lane of a group first that has the fewest runs.
type laneHeap []*Lane

func (h laneHeap) Len() int { return len(h) }
func (h laneHeap) Less(i, j int) bool {
	if a, b := h[i].window.running, h[j].window.running; a != b {
		return a < b
	}
	return h[i].served < h[j].served
}
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *laneHeap) Push(x any) {
	l := x.(*Lane)
	l.at = len(*h)
	*h = append(*h, l)
}
func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.at = -1
	return l
}

// timerHeap has the lane first that waits the shortest.
type timerHeap []*Lane

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *timerHeap) Push(x any) {
	l := x.(*Lane)
	l.at = len(*h)
	*h = append(*h, l)
}
func (h *timerHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.at = -1
	return l
}
