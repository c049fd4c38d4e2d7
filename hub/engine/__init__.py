"""What keeps the pipeline going. Every engine calls the same functions; it only decides when and where."""
