package environment

// freeze stops the environment's processes: nobody pays for what they would do
// between two invocations, and on AWS they would not run either. It happens
// FreezeAfter the runtime's last /next, never on the way of an invocation.
func (e *Environment) freeze() {
	if e.State() != Idle || e.frozen.Load() {
		return
	}
	if err := e.box.Freeze(); err != nil {
		// The driver's Findings tell the operator; here it would be said for
		// every invocation.
		e.cfg.Log.Debug("environment cannot be frozen", "environment", e.cfg.ID, "error", err)
		return
	}
	e.frozen.Store(true)
}

// thaw lets the processes run again. An environment that cannot be thawed
// reports the error and must end.
func (e *Environment) thaw() error {
	if !e.frozen.Load() {
		return nil
	}
	if err := e.box.Thaw(); err != nil {
		return err
	}
	e.frozen.Store(false)
	return nil
}
