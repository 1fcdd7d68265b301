"""The server's side: claims tasks, runs them in child processes, writes outcomes and console lines back."""
