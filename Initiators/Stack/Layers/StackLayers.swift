/// The one place where the stack is put together.
public enum StackLayers {
    /// All layers, lowest first.
    public static func all(_ context: StackContext) -> [any Layer] {
        [SessionsLayer(context), PathsLayer(context), MapsLayer(context)]
    }
}
