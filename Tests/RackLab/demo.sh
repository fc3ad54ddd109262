demo_command() { :; }
