// A handler that a blank process loads before it knows a real one; see blank.js.
exports.handler = async () => null;
